import { AppError } from '../../kernel/app-error.ts'
import type { Delivery } from '../../kernel/delivery.ts'
import type { Deps } from '../../kernel/deps.ts'
import { idOf } from '../../kernel/ids.ts'
import type { EncodedImage } from '../../ports/image-codec.ts'
import { type Answer, answerWithRow } from './answering.ts'
import { detach, type DetachDeps } from './detaching.ts'
import { findGeneration, type GenerationRow } from './generations.repo.ts'
import { type Claim, findRecord } from './idempotency.repo.ts'
import { hasEnded, waitForEnd } from './waiting.ts'

type ReplayDeps = DetachDeps & Pick<Deps, 'settings' | 'notifier'>

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
  /** Those of the request, which are those of the first one. */
  images(): Promise<readonly EncodedImage[]>
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
  const row = await readKept(deps, claim, id, repeat)
  if (isPassing(row)) return { failed: row }
  if (!hasEnded(row.status) && !mayComeBack(repeat.delivery)) throw inProgress()
  repeat.onReplayed()
  return { answer: await answerWithRow(deps, row) }
}

/** Whoever is told to come back finds it finished, also when the process in which it runs dies. */
async function readKept(
  deps: ReplayDeps,
  claim: Claim,
  id: string,
  repeat: Repeat,
): Promise<GenerationRow> {
  for (;;) {
    const row = await read(deps, claim, id)
    if (hasEnded(row.status) || row.detached || !mayComeBack(repeat.delivery)) return row
    await detachEarlier(deps, row, repeat)
  }
}

async function detachEarlier(deps: ReplayDeps, row: GenerationRow, repeat: Repeat): Promise<void> {
  const run = { id: row.id, attempt: row.attempt, owner: row.lease_owner }
  try {
    await detach(deps, run, row.user_id, row.input_images === 0 ? [] : await repeat.images())
  } catch (error) {
    deps.log.warn({ err: error, generation: row.id }, 'a repeat could not be told to come back')
    throw inProgress()
  }
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
