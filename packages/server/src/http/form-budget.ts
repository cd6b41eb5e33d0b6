import { MAX_INPUT_IMAGES } from '@nanobanana/shared'
import { AppError } from '../kernel/app-error.ts'
import type { FileNames, PartHead } from './part-head.ts'
import { isPolluting, unknownField } from './query.ts'

const MAX_FIELDS = 50
const MAX_FIELD_BYTES = 32 * 1024
const MAX_NAME_LENGTH = 100

/** Refuses a part by its head where that is enough, and as soon as a limit is passed. */
export class FormBudget {
  #fields = MAX_FIELDS
  #files = MAX_INPUT_IMAGES
  #textBytes: number
  #imageBytes: number
  readonly #names: FileNames

  constructor(limits: { textBytes: number; imageBytes: number; files: FileNames }) {
    this.#textBytes = limits.textBytes
    this.#imageBytes = limits.imageBytes
    this.#names = limits.files
  }

  open({ name, isFile }: PartHead): void {
    if (name.length > MAX_NAME_LENGTH || isPolluting(name)) throw unknownField(name)
    if (!isFile) {
      if (--this.#fields < 0) throw invalid(`The form has more than ${MAX_FIELDS} fields.`)
      return
    }
    const { parts, list } = this.#names
    if (!parts.includes(name)) {
      throw invalid(`${name}: only parts named ${parts[0]} are files.`, name)
    }
    if (--this.#files < 0) {
      throw invalid(`${list}: must have at most ${MAX_INPUT_IMAGES} entries.`, list)
    }
  }

  /** Further bytes of a part that has `before` already. */
  add({ name, isFile }: PartHead, before: number, further: number): void {
    if (isFile) this.#imageBytes -= further
    else this.#textBytes -= further
    if (this.#imageBytes < 0) {
      throw new AppError('payload_too_large', undefined, { param: this.#names.list })
    }
    if (this.#textBytes < 0) throw new AppError('payload_too_large')
    if (!isFile && before + further > MAX_FIELD_BYTES) {
      throw invalid(`${name}: must be at most ${MAX_FIELD_BYTES} bytes.`, name)
    }
  }
}

const invalid = (message: string, param?: string): AppError =>
  new AppError('invalid_input', message, param === undefined ? {} : { param })
