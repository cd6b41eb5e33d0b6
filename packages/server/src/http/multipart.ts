import type { Readable } from 'node:stream'
import { Dicer } from '@fastify/busboy'
import { UploadedImage } from '@nanobanana/shared'
import type { FastifyRequest } from 'fastify'
import { AppError } from '../kernel/app-error.ts'
import { ByteList } from './byte-list.ts'
import { FormBudget } from './form-budget.ts'
import { type FileNames, type PartHead, readPartHead } from './part-head.ts'
import { receive } from './receive.ts'

/** A part of a form: a text, or a file. */
export interface FormPart {
  readonly name: string
  readonly value: string | UploadedImage
}
/** In the order in which the parts arrived. */
export type Form = readonly FormPart[]

export interface FormLimits {
  /** Of the body as it is sent. */
  readonly bodyBytes: number
  /** Of all texts together. */
  readonly textBytes: number
  /** Of all files together. */
  readonly imageBytes: number
  readonly files: FileNames
}

interface Part {
  /** Undefined until its headers were read. */
  head: PartHead | undefined
  readonly bytes: ByteList
}

/** Of each part: one has two or three short headers. */
const HEADERS = { maxHeaderPairs: 20, maxHeaderSize: 8 * 1024 }

/** Reads a form of fields and images. */
export async function readForm(
  request: FastifyRequest,
  payload: Readable,
  limits: FormLimits,
): Promise<Form> {
  const boundary = boundaryOf(request.headers['content-type'] ?? '')
  if (boundary === undefined) throw malformed()
  const splitter = new Dicer({ ...HEADERS, boundary })
  const budget = new FormBudget(limits)
  const parts: Promise<Part>[] = []
  splitter.on('part', (stream) => {
    const part = readPart(stream, budget, limits.files.parts)
    // At once, so that no more of the body is read than needed.
    part.catch((error: Error) => splitter.destroy(error))
    parts.push(part)
  })
  try {
    await receive(request, payload, splitter, limits.bodyBytes)
    // The splitter may be done before a part has been taken from it whole.
    const read = await Promise.all(parts)
    return read.flatMap((part) => valueOf(part) ?? [])
  } catch (error) {
    throw error instanceof AppError ? error : malformed(error)
  }
}

const BOUNDARY = /;\s*boundary=(?:"([^"]{1,70})"|([^\s;"]{1,70}))\s*(?:;|$)/i

function boundaryOf(contentType: string): string | undefined {
  const [, quoted, bare] = BOUNDARY.exec(contentType) ?? []
  return quoted ?? bare
}

const malformed = (cause?: unknown): AppError =>
  new AppError('invalid_input', 'The body is not valid multipart/form-data.', { cause })

function readPart(
  stream: Readable,
  budget: FormBudget,
  fileParts: readonly string[],
): Promise<Part> {
  const part: Part = { head: undefined, bytes: new ByteList() }
  return new Promise((resolve, reject) => {
    const orReject = (work: () => void) => {
      try {
        work()
      } catch (error) {
        reject(error as Error)
      }
    }
    stream.on('header', (headers: Record<string, string[]>) =>
      orReject(() => {
        part.head = readPartHead(headers, fileParts)
        if (part.head === undefined) throw malformed()
        budget.open(part.head)
      }),
    )
    stream.on('data', (chunk: Buffer) =>
      orReject(() => {
        if (part.head === undefined) throw malformed()
        budget.add(part.head, part.bytes.length, chunk.length)
        part.bytes.append(chunk)
      }),
    )
    stream.on('end', () => resolve(part))
    // The body ended inside it.
    stream.on('error', (error) => reject(malformed(error)))
  })
}

function valueOf({ head, bytes }: Part): FormPart | undefined {
  if (head === undefined) throw malformed()
  const { name, isFile, isNameless, type } = head
  if (!isFile) return { name, value: decode(name, bytes.concat()) }
  if (isNameless && bytes.length === 0) return undefined
  const declared = type === 'application/octet-stream' ? undefined : type
  return { name, value: new UploadedImage(bytes.concat(), declared) }
}

function decode(name: string, bytes: Buffer): string {
  try {
    const text = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes)
    // Whoever encodes a form writes every line feed so.
    return text.replaceAll('\r\n', '\n')
  } catch {
    throw new AppError('invalid_input', `${name}: must be UTF-8.`, { param: name })
  }
}
