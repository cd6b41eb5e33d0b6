import { ERRORS, type Generation, isErrorCode } from '@nanobanana/shared'
import { AppError } from '../../kernel/app-error.ts'
import type { Deps } from '../../kernel/deps.ts'
import type { Principal } from '../../kernel/principal.ts'
import * as images from '../images/images.service.ts'
import type { Ended } from './ending.ts'
import { findGeneration, type GenerationRow } from './generations.repo.ts'
import { render } from './render.ts'
import { hasEnded } from './waiting.ts'

type AnswerDeps = Pick<Deps, 'db' | 'objectStore' | 'settings'>

/** What a caller is told of a generation. */
export interface Answer {
  readonly generation: Generation
  /** False: it goes on, and is found by its id. */
  readonly hasEnded: boolean
}

const RETRY_AFTER_SECONDS = 5

/** Answers a generation that has ended here. */
export async function answerWith(deps: AnswerDeps, ended: Ended): Promise<Answer> {
  return { generation: await render(deps, ended.row, ended.images, 'data-url'), hasEnded: true }
}

/** Answers a generation that was accepted just now. */
export async function answerBegun(deps: AnswerDeps, row: GenerationRow): Promise<Answer> {
  return { generation: await render(deps, row, [], 'data-url'), hasEnded: false }
}

/** Answers a generation as it is by now; throws as what it failed. */
export async function answerOf(
  deps: AnswerDeps,
  { userId }: Pick<Principal, 'userId'>,
  id: string,
): Promise<Answer> {
  const row = await findGeneration(deps.db, { userId, mode: undefined }, id)
  if (row === undefined) throw new AppError('not_found', 'The generation was deleted.')
  return answerWithRow(deps, row)
}

export async function answerWithRow(deps: AnswerDeps, row: GenerationRow): Promise<Answer> {
  if (row.status === 'failed' && row.error !== null) throw failureOf(row.error)
  const rows = await images.listByGeneration(deps.db, row.user_id, [row.id])
  const generation = await render(deps, row, rows, 'data-url')
  return { generation, hasEnded: hasEnded(row.status) }
}

/** The error with which a generation ended, as it was answered where it ran. */
export function failureOf({ code, message, final }: NonNullable<GenerationRow['error']>): AppError {
  if (!isErrorCode(code)) return new AppError('internal')
  return new AppError(code, message, {
    ...(ERRORS[code].retryable ? { retryAfterSeconds: RETRY_AFTER_SECONDS } : {}),
    ...(final === true ? { headers: { 'x-should-retry': 'false' } } : {}),
  })
}
