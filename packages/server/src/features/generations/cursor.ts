import { AppError } from '../../kernel/app-error.ts'
import { idOf, parseId } from '../../kernel/ids.ts'
import type { Position } from './list.repo.ts'

const FORM = /^([^.]+)\.(\d{1,15})$/
/** The last millisecond of the year 9999, where RFC 3339 ends. */
const MAX_MS = 253_402_300_799_999

/** Says where a page ended, so that the next one is found after its last entry was deleted too. */
export const cursorOf = ({ created_at, id }: Position): string =>
  `${idOf('gen', id)}.${created_at.getTime()}`

/** Throws `invalid_input` for what `cursorOf` cannot have made. */
export function parseCursor(cursor: string): Position {
  const [, typeId = '', ms = ''] = FORM.exec(cursor) ?? []
  const id = parseId('gen', typeId)
  if (id !== undefined && Number(ms) <= MAX_MS) return { created_at: new Date(Number(ms)), id }
  throw new AppError('invalid_input', 'cursor: is not one of ours.', { param: 'cursor' })
}
