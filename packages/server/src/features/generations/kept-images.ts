import type { Deps } from '../../kernel/deps.ts'
import type { EncodedImage } from '../../ports/image-codec.ts'
import * as images from '../images/images.service.ts'
import { type KeptImage, listKept } from './kept-images.repo.ts'

/** Stores copies of a request's images, for a run elsewhere or later; they have no rows yet. */
export async function keepImages(
  deps: Pick<Deps, 'db' | 'objectStore' | 'log'>,
  userId: string,
  inputs: readonly EncodedImage[],
): Promise<KeptImage[]> {
  const kept: KeptImage[] = []
  try {
    for (const { bytes, mimeType } of inputs) {
      const object = await images.storeCopy(deps, userId, bytes, mimeType)
      kept.push({ ...object, mime_type: mimeType })
    }
  } catch (error) {
    await images.deleteObjects(deps, kept)
    throw error
  }
  return kept
}

/** Reads them again. */
export async function loadImages(
  deps: Pick<Deps, 'db' | 'objectStore'>,
  generationId: string,
): Promise<EncodedImage[]> {
  const loaded: EncodedImage[] = []
  for (const { mime_type: mimeType, ...object } of await listKept(deps.db, generationId)) {
    loaded.push({ bytes: await images.readObject(deps, object), mimeType })
  }
  return loaded
}
