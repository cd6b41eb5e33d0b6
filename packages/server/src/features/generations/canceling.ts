import type { Generation } from '@nanobanana/shared'
import { transaction } from '../../db/client.ts'
import { AppError } from '../../kernel/app-error.ts'
import type { Deps } from '../../kernel/deps.ts'
import { uuidOf } from '../../kernel/ids.ts'
import type { Principal } from '../../kernel/principal.ts'
import * as auth from '../auth/auth.service.ts'
import { countEnd } from './counting.ts'
import { giveBack } from './ending.ts'
import { findGeneration, type GenerationRow } from './generations.repo.ts'
import { cancel as setCanceled } from './runs.repo.ts'
import { render } from './render.ts'
import { visibleTo } from './visible.ts'

/**
 * Cancels a generation that waits or runs: nothing is charged, and the process that runs it ends its
 * calls. One that is canceled already is answered as it is.
 */
export async function cancel(
  deps: Pick<Deps, 'db' | 'objectStore' | 'settings' | 'log' | 'metrics'>,
  principal: Principal,
  id: string,
): Promise<Generation> {
  const { found: row, canceled } = await transaction(deps.db, async (tx) => {
    // First, in the order in which a deletion locks.
    if (!(await auth.hold(tx, principal.userId))) throw new AppError('not_found')
    const found = await findGeneration(tx, visibleTo(principal), uuidOf(id))
    if (found === undefined) throw new AppError('not_found')
    const canceled = await setCanceled(tx, found.id)
    if (canceled !== undefined) await giveBack(tx, canceled)
    return { found, canceled }
  })
  if (canceled !== undefined) countEnd(deps, canceled, upstreamOf(row))
  // One that had ended, or ended meanwhile.
  const now = canceled ?? (await read(deps, principal, row.id))
  if (now.status !== 'canceled') throw new AppError('not_cancelable')
  return render(deps, now, [], 'address')
}

/** An abort does not stop the provider's bill. */
const upstreamOf = ({ status, reserved_micros }: GenerationRow): number =>
  status === 'running' ? reserved_micros : 0

async function read(
  { db }: Pick<Deps, 'db'>,
  principal: Principal,
  id: string,
): Promise<GenerationRow> {
  const row = await findGeneration(db, visibleTo(principal), id)
  if (row === undefined) throw new AppError('not_found')
  return row
}

/** Ends the calls of what was canceled anywhere and runs here; answers how to stop listening. */
export function heedCancellations({
  notifier,
  leases,
}: Pick<Deps, 'notifier' | 'leases'>): () => void {
  return notifier.subscribe('generations', (message) => {
    if (message.topic !== 'generation' || message.event !== 'canceled') return
    leases.held.get(message.id)?.canceled.abort()
  })
}
