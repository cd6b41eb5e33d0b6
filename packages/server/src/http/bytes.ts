import { Readable } from 'node:stream'
import type { FastifyReply, FastifyRequest } from 'fastify'
import * as images from '../features/images/images.service.ts'
import { AppError } from '../kernel/app-error.ts'
import type { Deps } from '../kernel/deps.ts'
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
  setImageHeaders(reply, { etag, filename: images.filenameOf(row), type: row.mime_type })
  if (matches(request.headers['if-none-match'], etag)) return reply.status(304).send()
  reply.header('accept-ranges', 'bytes')
  const wanted = rangeWanted(request, etag)
    ? parseRange(request.headers.range, row.bytes)
    : undefined
  if (wanted === 'unsatisfiable') {
    return reply.status(416).header('content-range', `bytes */${row.bytes}`).send()
  }
  if (wanted !== undefined) {
    reply
      .status(206)
      .header('content-range', `bytes ${wanted.start}-${wanted.end}/${row.bytes}`)
      .header('content-length', wanted.end - wanted.start + 1)
  } else reply.header('content-length', row.bytes)
  if (request.method === 'HEAD') return reply.send(Readable.from([]))
  return reply.send(await images.readBytes(deps, row, wanted))
}

/** Sends a thumbnail that was made from the image. */
export function sendThumbnail(
  request: FastifyRequest,
  reply: FastifyReply,
  row: ImageRow,
  thumbnail: { width: number; read: () => Promise<Uint8Array> },
): Promise<FastifyReply> | FastifyReply {
  const etag = `"${row.sha256}-w${thumbnail.width}"`
  const filename = images.filenameOf(row).replace(/\.\w+$/, `-${thumbnail.width}.webp`)
  setImageHeaders(reply, { etag, filename, type: 'image/webp' })
  if (matches(request.headers['if-none-match'], etag)) return reply.status(304).send()
  return thumbnail.read().then((bytes) => reply.send(Buffer.from(bytes)))
}

function setImageHeaders(
  reply: FastifyReply,
  image: { etag: string; filename: string; type: string },
): void {
  reply
    .header('etag', image.etag)
    .header('cache-control', CACHE)
    .header('content-disposition', `inline; filename="${image.filename}"`)
    // A page elsewhere may show the picture that its maker gave it.
    .header('cross-origin-resource-policy', 'cross-origin')
    .type(image.type)
}

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
  const { width, ...others } = request.searchParams
  const [unknown] = Object.keys(others)
  if (unknown !== undefined) {
    throw new AppError(
      'invalid_input',
      `${unknown.slice(0, 100)} is not a field of this request.`,
      {
        param: unknown.slice(0, 100),
      },
    )
  }
  if (width === undefined) return undefined
  const pixels = typeof width === 'string' && /^\d{2,4}$/.test(width) ? Number(width) : Number.NaN
  if (pixels >= MIN_WIDTH && pixels <= MAX_WIDTH) return pixels
  throw new AppError('invalid_input', `width: must be ${MIN_WIDTH} to ${MAX_WIDTH}.`, {
    param: 'width',
  })
}
