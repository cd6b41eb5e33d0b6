import { AppError } from '../../kernel/app-error.ts'
import type { Delivery } from '../../kernel/delivery.ts'
import type { Deps } from '../../kernel/deps.ts'
import { idOf } from '../../kernel/ids.ts'
import { type Answer, answerWithRow } from './answering.ts'
import { findGeneration, type GenerationRow } from './generations.repo.ts'
import { type Claim, findRecord } from './idempotency.repo.ts'
import { hasEnded, waitForEnd } from './waiting.ts'

type ReplayDeps = Pick<Deps, 'db' | 'objectStore' | 'settings' | 'notifier'>

/** What an earlier request with the same key of idempotency came to. */
export type Earlier =
  | { readonly answer: Answer }
  /** It failed in a way that may pass: one more attempt of the same generation is due. */
  | { readonly failed: GenerationRow }

/** How long a repeat that cannot be told to come back waits for the first request. */
const WAIT_MS = 2000
const RETRY_AFTER_SECONDS = 2

/** Failures that another attempt would only repeat, or buy again. */
const FINAL = new Set(['content_blocked', 'no_image', 'upstream_failed', 'upstream_invalid'])

/** What the entrance knows of a repeat, and wants to hear of it. */
interface Repeat {
  readonly delivery: Delivery
  onCommitted(id: string): void
  onReplayed(): void
}

/**
 * Answers a repeated request from what the first one left; undefined where there was none. Throws
 * the first one's error, `idempotency_mismatch` and `idempotency_in_progress`.
 */
export async function findEarlier(
  deps: ReplayDeps,
  claim: Claim,
  repeat: Repeat,
): Promise<Earlier | undefined> {
  const record = await findRecord(deps.db, claim)
  if (record === undefined) return undefined
  if (!Buffer.from(record.fingerprint).equals(claim.fingerprint)) {
    throw new AppError('idempotency_mismatch', undefined, { param: 'Idempotency-Key' })
  }
  if (record.status === null) throw deleted()
  const id = record.generation_id
  repeat.onCommitted(idOf('gen', id))
  if (!hasEnded(record.status)) await waitForEnd(deps, id, waitOf(repeat.delivery))
  const row = await read(deps, claim, id)
  if (isPassing(row)) return { failed: row }
  if (!hasEnded(row.status) && !mayComeBack(repeat.delivery)) throw inProgress()
  repeat.onReplayed()
  return { answer: await answerWithRow(deps, row) }
}

/** Whether the caller has said that it understands 202, or follows the events. */
const mayComeBack = (delivery: Delivery): boolean =>
  delivery.kind === 'wait' ? delivery.ms !== undefined : delivery.kind !== 'end'

function waitOf(delivery: Delivery): number {
  if (delivery.kind === 'end') return WAIT_MS
  return delivery.kind === 'wait' ? (delivery.ms ?? WAIT_MS) : 0
}

const isPassing = ({ status, error }: GenerationRow): boolean =>
  status === 'failed' && error !== null && !FINAL.has(error.code)

async function read({ db }: ReplayDeps, { userId }: Claim, id: string): Promise<GenerationRow> {
  const row = await findGeneration(db, { userId, mode: undefined }, id)
  if (row === undefined) throw deleted()
  return row
}

const inProgress = (): AppError =>
  new AppError('idempotency_in_progress', undefined, { retryAfterSeconds: RETRY_AFTER_SECONDS })

const deleted = (): AppError =>
  new AppError('not_found', 'The generation of this Idempotency-Key was deleted.')
