import { finished } from 'node:stream'
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { AppError } from '../kernel/app-error.ts'
import type { Deps } from '../kernel/deps.ts'
import { createRoom } from '../kernel/room.ts'
import { authenticate } from './authenticate.ts'
import { chargeAddress } from './charge.ts'
import { closeUnread } from './linger.ts'
import { type FileNames, IMAGE_PART } from './part-head.ts'
import { announcedBytes } from './receive.ts'

declare module 'fastify' {
  interface FastifyContextConfig {
    /** Whether a request of the route may bring images; never where this is absent. */
    takesUploads?: (request: FastifyRequest) => boolean
    /** What the files of a form are called, where it is not as on `POST /v1/generate`. */
    files?: FileNames
  }
  interface FastifyRequest {
    /** Present where the body was let in as an upload: a form, a large body or one of unknown size. */
    upload: Upload | undefined
  }
}

/** The room that an upload takes. */
interface Upload {
  bytes: number
  /** Whether a handler has the images; the client may be gone before. */
  isHandled: boolean
  isAnswered: boolean
}

const RETRY_AFTER_SECONDS = 2

const FILES: FileNames = { parts: [IMAGE_PART], list: 'images' }

/** Base64 adds a third. Some clients escape its `+`, `/` or `=`, which adds an eighth at the worst. */
const BYTES_ON_THE_WIRE = (4 / 3) * (9 / 8)

export interface UploadLimits {
  /** Of the body as it is sent. */
  readonly bodyBytes: number
  /** Of all that is no image. */
  readonly textBytes: number
  /** Of all images, decoded. */
  readonly imageBytes: number
  readonly files: FileNames
}

/** How much a body may be; no images where the route takes none. */
export function limitsOf(
  request: FastifyRequest,
  deps: Pick<Deps, 'settings'>,
): UploadLimits | undefined {
  const { takesUploads, files = FILES } = request.routeOptions.config
  if (takesUploads?.(request) !== true) return undefined
  const textBytes = textLimit(request.server)
  const imageBytes = deps.settings.maxUploadBytes
  const bodyBytes = textBytes + Math.ceil(imageBytes * BYTES_ON_THE_WIRE)
  return { bodyBytes, textBytes, imageBytes, files }
}

export const textLimit = (app: FastifyInstance): number => app.initialConfig.bodyLimit ?? 0

/**
 * Lets uploads in before their first byte is read: from callers who are known, and as many as there
 * is room for. The room is kept until the answer is out and no handler works on the images any more.
 */
export function addUploadGate(app: FastifyInstance, deps: Deps, inFlightBytes?: number): void {
  const room = inFlightBytes === undefined ? deps.room : createRoom(inFlightBytes)
  const shrink = (upload: Upload, bytes: number) => {
    room.give(upload.bytes - bytes)
    upload.bytes = bytes
  }
  const leaveWhenOver = (upload: Upload) => {
    if (!upload.isHandled && upload.isAnswered) shrink(upload, 0)
  }
  const admit = async (request: FastifyRequest, reply: FastifyReply, limits: UploadLimits) => {
    const announced = announcedBytes(request) ?? limits.bodyBytes
    if (announced > limits.bodyBytes) throw new AppError('payload_too_large')
    await authenticate(deps, request)
    // What is kept of a body is decoded, so never more than this.
    const bytes = Math.min(announced, limits.textBytes + limits.imageBytes)
    if (!room.take(bytes)) throw overloaded()
    const upload: Upload = { bytes, isHandled: false, isAnswered: false }
    request.upload = upload
    finished(reply.raw, () => {
      upload.isAnswered = true
      leaveWhenOver(upload)
    })
  }

  app.decorateRequest('upload', undefined)
  app.addHook('onRequest', (request, reply, done) => {
    const limits = limitsOf(request, deps)
    // At once, as others are refused at once: Node tells of a broken request in the same breath.
    if (limits === undefined || isSmall(request, limits)) return done()
    return admit(request, reply, limits).catch(async (error: unknown) => {
      closeUnread(request, reply)
      // The hook that counts what is refused without a credential does not come to its turn.
      if (request.counted === undefined) await chargeAddress(deps, request)
      throw error
    })
  })
  app.addHook('preHandler', (request, _reply, done) => {
    const { upload, receivedBytes } = request
    if (upload !== undefined) {
      // Now that its size is known.
      shrink(upload, Math.min(upload.bytes, receivedBytes))
      upload.isHandled = true
    }
    done()
  })
  // Where a handler has ended, also for a client that has gone.
  app.addHook('onSend', (request, _reply, payload, done) => {
    if (request.upload !== undefined) {
      request.upload.isHandled = false
      leaveWhenOver(request.upload)
    }
    done(null, payload)
  })
}

function isSmall({ headers }: FastifyRequest, { textBytes }: UploadLimits): boolean {
  if (headers['transfer-encoding'] !== undefined) return false
  const isForm = headers['content-type']?.toLowerCase().startsWith('multipart/') ?? false
  return !isForm && Number(headers['content-length'] ?? 0) <= textBytes
}

const overloaded = (): AppError =>
  new AppError('overloaded', 'Too many uploads are in flight.', {
    retryAfterSeconds: RETRY_AFTER_SECONDS,
  })
