import { setTimeout as sleep } from 'node:timers/promises'
import { type Generation, isErrorCode } from '@nanobanana/shared'
import { AppError } from '../../kernel/app-error.ts'
import type { Deps } from '../../kernel/deps.ts'
import { idOf } from '../../kernel/ids.ts'
import * as images from '../images/images.service.ts'
import { findGeneration, type GenerationRow } from './generations.repo.ts'
import { type Claim, findRecord } from './idempotency.repo.ts'
import { render } from './render.ts'

type ReplayDeps = Pick<Deps, 'db' | 'objectStore' | 'settings'>

/** What an earlier request with the same key of idempotency came to. */
export type Earlier =
  | { readonly generation: Generation }
  /** It failed in a way that may pass: one more attempt of the same generation is due. */
  | { readonly failed: GenerationRow }

/** How long a repeat waits for the first request. */
const WAIT_MS = 2000
/** Between two looks; many repeats may wait for one request. */
const FIRST_POLL_MS = 50
const MAX_POLL_MS = 400
const RETRY_AFTER_SECONDS = 2

/** Failures that another attempt would only repeat, or buy again. */
const FINAL = new Set(['content_blocked', 'no_image', 'upstream_failed', 'upstream_invalid'])

/**
 * Answers a repeated request from what the first one left; undefined where there was none. Throws
 * the first one's error, `idempotency_mismatch` and `idempotency_in_progress`.
 */
export async function findEarlier(
  deps: ReplayDeps,
  claim: Claim,
  call: { onCommitted(id: string): void; onReplayed(): void },
): Promise<Earlier | undefined> {
  const deadline = performance.now() + WAIT_MS
  for (let pollMs = FIRST_POLL_MS; ; pollMs = Math.min(2 * pollMs, MAX_POLL_MS)) {
    const record = await findRecord(deps.db, claim)
    if (record === undefined) return undefined
    if (!Buffer.from(record.fingerprint).equals(claim.fingerprint)) {
      throw new AppError('idempotency_mismatch', undefined, { param: 'Idempotency-Key' })
    }
    if (record.status === null) throw deleted()
    call.onCommitted(idOf('gen', record.generation_id))
    if (record.status !== 'queued' && record.status !== 'running') {
      return replay(deps, await read(deps, claim, record.generation_id), call)
    }
    if (performance.now() >= deadline) throw inProgress()
    await sleep(pollMs)
  }
}

async function read({ db }: ReplayDeps, { userId }: Claim, id: string): Promise<GenerationRow> {
  const row = await findGeneration(db, { userId, mode: undefined }, id)
  if (row === undefined) throw deleted()
  return row
}

async function replay(
  deps: ReplayDeps,
  row: GenerationRow,
  call: { onReplayed(): void },
): Promise<Earlier> {
  const { error } = row
  if (row.status === 'failed' && error !== null) {
    if (!FINAL.has(error.code) || !isErrorCode(error.code)) return { failed: row }
    call.onReplayed()
    throw new AppError(error.code, error.message)
  }
  call.onReplayed()
  const rows = await images.listByGeneration(deps.db, row.user_id, [row.id])
  return { generation: await render(deps, row, rows, 'data-url') }
}

const inProgress = (): AppError =>
  new AppError('idempotency_in_progress', undefined, { retryAfterSeconds: RETRY_AFTER_SECONDS })

const deleted = (): AppError =>
  new AppError('not_found', 'The generation of this Idempotency-Key was deleted.')
