import { Readable } from 'node:stream'
import type { FastifyReply, FastifyRequest } from 'fastify'
import * as images from '../features/images/images.service.ts'
import { AppError } from '../kernel/app-error.ts'
import type { Deps } from '../kernel/deps.ts'
import { takeParameters } from './query.ts'
import { parseRange } from './range.ts'

type ImageRow = Awaited<ReturnType<typeof images.getReadable>>

/** Bytes never change under their address, yet belong to one account: browsers may keep them. */
const CACHE = 'private, max-age=31536000, immutable'

/** Sends an image's bytes: validators, ranges, and a type that was measured when they were stored. */
export async function sendImage(
  deps: Pick<Deps, 'objectStore'>,
  request: FastifyRequest,
  reply: FastifyReply,
  row: ImageRow,
): Promise<FastifyReply> {
  const etag = `"${row.sha256}"`
  const headers = headersOf({ etag, filename: images.filenameOf(row), type: row.mime_type })
  if (matches(request.headers['if-none-match'], etag)) {
    return reply.headers(headers).status(304).send()
  }
  const wanted = rangeWanted(request, etag)
    ? parseRange(request.headers.range, row.bytes)
    : undefined
  if (wanted === 'unsatisfiable') {
    return reply
      .status(416)
      .headers({ 'content-range': `bytes */${row.bytes}`, 'x-should-retry': 'false' })
      .send()
  }
  const isHead = request.method === 'HEAD'
  const body = isHead ? Readable.from([]) : await images.readBytes(deps, row, wanted)
  // Not before: a refusal must not be kept for a year.
  reply.headers(headers).header('accept-ranges', 'bytes')
  if (wanted !== undefined) {
    reply
      .status(206)
      .header('content-range', `bytes ${wanted.start}-${wanted.end}/${row.bytes}`)
      .header('content-length', wanted.end - wanted.start + 1)
  } else reply.header('content-length', row.bytes)
  return reply.send(body)
}

/** Sends a thumbnail that was made from the image. */
export async function sendThumbnail(
  request: FastifyRequest,
  reply: FastifyReply,
  row: ImageRow,
  thumbnail: { width: number; read: () => Promise<Uint8Array> },
): Promise<FastifyReply> {
  const etag = `"${row.sha256}-w${thumbnail.width}"`
  const filename = images.filenameOf(row).replace(/\.\w+$/, `-${thumbnail.width}.webp`)
  const headers = headersOf({ etag, filename, type: 'image/webp' })
  if (matches(request.headers['if-none-match'], etag)) {
    return reply.headers(headers).status(304).send()
  }
  const bytes = await thumbnail.read()
  return reply.headers(headers).send(Buffer.from(bytes))
}

const headersOf = (image: { etag: string; filename: string; type: string }) => ({
  etag: image.etag,
  'cache-control': CACHE,
  'content-disposition': `inline; filename="${image.filename}"`,
  // A page elsewhere may show the picture that its maker gave it.
  'cross-origin-resource-policy': 'cross-origin',
  'content-type': image.type,
})

const matches = (header: string | undefined, etag: string): boolean =>
  header !== undefined &&
  header.split(',').some((one) => one.trim() === '*' || one.trim().replace(/^W\//, '') === etag)

/** `If-Range` with another validator means: the whole, please. */
function rangeWanted(request: FastifyRequest, etag: string): boolean {
  const ifRange = request.headers['if-range']
  return ifRange === undefined || ifRange === etag
}

const MIN_WIDTH = 64
const MAX_WIDTH = 1024

/** Checks the query of an image address, which takes a width and nothing else. */
export function widthOf(request: FastifyRequest): number | undefined {
  const { width } = takeParameters(request.searchParams, 'width')
  if (width === undefined) return undefined
  const pixels = /^[1-9]\d{1,3}$/.test(width) ? Number(width) : Number.NaN
  if (pixels >= MIN_WIDTH && pixels <= MAX_WIDTH) return pixels
  throw new AppError('invalid_input', `width: must be ${MIN_WIDTH} to ${MAX_WIDTH}.`, {
    param: 'width',
  })
}
