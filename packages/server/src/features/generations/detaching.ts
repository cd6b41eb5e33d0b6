import { transaction } from '../../db/client.ts'
import type { Deps } from '../../kernel/deps.ts'
import type { EncodedImage } from '../../ports/image-codec.ts'
import * as images from '../images/images.service.ts'
import { type Run, setDetached } from './runs.repo.ts'
import { keepImages } from './kept-images.ts'
import { insertKept } from './kept-images.repo.ts'

export type DetachDeps = Pick<Deps, 'db' | 'urgentDb' | 'objectStore' | 'log'>

/**
 * Lets a generation that runs be finished by another process if its own dies, for a caller is told to
 * come back. False: it was so already, or that run of it is over.
 */
export async function detach(
  deps: DetachDeps,
  run: Run,
  userId: string,
  inputs: readonly EncodedImage[],
): Promise<boolean> {
  const kept = await keepImages(deps, userId, inputs)
  const isDetached = await transaction(deps.urgentDb, async (tx) => {
    if (!(await setDetached(tx, run))) return false
    await insertKept(tx, run.id, kept)
    return true
  }).catch(async (error: unknown) => {
    await images.deleteObjects(deps, kept)
    throw error
  })
  if (!isDetached) await images.deleteObjects(deps, kept)
  return isDetached
}
