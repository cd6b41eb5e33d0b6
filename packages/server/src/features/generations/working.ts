import { AppError } from '../../kernel/app-error.ts'
import type { Deps } from '../../kernel/deps.ts'
import type { ImageProvider } from '../../ports/image-provider.ts'
import { endUnbegun } from './ending.ts'
import type { GenerationRow } from './generations.repo.ts'
import { loadImages } from './kept-images.ts'
import type { Job } from './making.ts'
import { providerOf } from './provider.ts'
import { requeue } from './recovering.ts'
import { run, type RunDeps } from './running.ts'
import type { Taken } from './taking.ts'

type WorkDeps = RunDeps & Pick<Deps, 'queue' | 'catalogue' | 'providers'>

/** Runs what was taken off the queue. Never rejects: how it ended stands where its caller looks. */
export async function runTaken(deps: WorkDeps, taken: Taken): Promise<void> {
  const { row, run: held } = taken
  // Renewed from now on.
  deps.leases.held.set(row.id, held)
  try {
    const begun = await begin(deps, taken)
    if (begun !== undefined) await run(deps, begun.provider, begun.job)
  } catch (error) {
    if (error instanceof AppError && error.code !== 'internal') return
    deps.log.error({ err: error, generation: row.id }, 'a generation that was taken did not run')
  } finally {
    if (deps.leases.held.get(row.id) === held) deps.leases.held.delete(row.id)
  }
}

/** What a run needs; where it is not to be had the generation fails, or waits for better times. */
async function begin(
  deps: WorkDeps,
  { row, run: held }: Taken,
): Promise<{ provider: ImageProvider; job: Job } | undefined> {
  const run = { id: row.id, attempt: row.attempt, owner: held.owner }
  try {
    const provider = providerOf(deps, row.mode)
    return { provider, job: await jobOf(deps, row, held) }
  } catch (error) {
    if (!(error instanceof AppError)) throw error
    const isPassing = error.code === 'unavailable' && row.runs < MAX_TRIES
    if (isPassing) await requeue(deps, run, { all: true, called: false })
    else await endUnbegun(deps, run, error)
    return undefined
  }
}

/** To read the images of a request. */
const MAX_TRIES = 100

async function jobOf(deps: WorkDeps, row: GenerationRow, run: Job['run']): Promise<Job> {
  const model = deps.catalogue.find(row.model)
  if (model === undefined) throw new AppError('model_not_found')
  const { id, mode, prompt, n, seed } = row
  return {
    id,
    model,
    mode,
    prompt,
    n,
    aspectRatio: (row.aspect_ratio ?? undefined) as Job['aspectRatio'],
    size: row.size as Job['size'],
    outputFormat: (row.output_format ?? undefined) as Job['outputFormat'],
    outputQuality: row.output_quality ?? undefined,
    seed: seed ?? undefined,
    thinkingLevel: (row.thinking_level ?? undefined) as Job['thinkingLevel'],
    images: row.input_images === 0 ? [] : await loadImages(deps, id),
    paid: {
      userId: row.user_id,
      keyId: row.key_id,
      generationId: id,
      attempt: row.attempt,
      mode,
      model,
    },
    run,
  }
}
