import { transaction } from '../../db/client.ts'
import type { Deps } from '../../kernel/deps.ts'
import * as images from '../images/images.service.ts'
import { setDetached } from './generations.repo.ts'
import { keepImages } from './kept-images.ts'
import { insertKept } from './kept-images.repo.ts'
import type { Job } from './making.ts'

/** Lets a generation that runs here be finished elsewhere: its caller was told to come back. */
export async function detach(
  deps: Pick<Deps, 'db' | 'urgentDb' | 'objectStore' | 'log'>,
  { id, paid, run, images: inputs }: Job,
): Promise<void> {
  const kept = await keepImages(deps, paid.userId, inputs)
  const isDetached = await transaction(deps.urgentDb, async (tx) => {
    if (!(await setDetached(tx, { id, attempt: paid.attempt, owner: run.owner }))) return false
    await insertKept(tx, id, kept)
    return true
  }).catch(async (error: unknown) => {
    await images.deleteObjects(deps, kept)
    throw error
  })
  // It has ended meanwhile.
  if (!isDetached) await images.deleteObjects(deps, kept)
}
