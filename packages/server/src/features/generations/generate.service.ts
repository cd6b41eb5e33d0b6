import { setTimeout as sleep } from 'node:timers/promises'
import type { GenerateInput } from '@nanobanana/shared'
import type { Delivery } from '../../kernel/delivery.ts'
import type { Deps } from '../../kernel/deps.ts'
import { idOf, newUuid } from '../../kernel/ids.ts'
import type { Principal } from '../../kernel/principal.ts'
import type { ImageProvider } from '../../ports/image-provider.ts'
import * as images from '../images/images.service.ts'
import { type Job as Paid, priceOf } from '../usage/usage.service.ts'
import { admitToQueue, admitToStore, runHolder } from './admission.ts'
import { type Answer, answerBegun, answerOf, answerWith } from './answering.ts'
import { detach } from './detaching.ts'
import type { Ended } from './ending.ts'
import { estimateTokens } from './estimate.ts'
import type { NewGeneration } from './beginning.repo.ts'
import type { GenerationRow } from './generations.repo.ts'
import { claimOf } from './idempotency.ts'
import type { Claim } from './idempotency.repo.ts'
import { type InputImages, prepareImages } from './input-images.ts'
import { keepImages } from './kept-images.ts'
import { type Job, unrepeatable } from './making.ts'
import { providerOf } from './provider.ts'
import { type Earlier, findEarlier } from './replay.ts'
import { type CheckedRequest, checkRequest } from './request.ts'
import { newRun, run as runJob, type RunDeps } from './running.ts'
import { ClaimedMeanwhile, start } from './starting.ts'
import { waitForEnd } from './waiting.ts'

export type GenerateDeps = RunDeps &
  Pick<
    Deps,
    'providers' | 'room' | 'catalogue' | 'queue' | 'notifier' | 'slots' | 'crowding' | 'background'
  >

/** What the entrance knows of a call, and wants to hear of it. */
export interface Call {
  /** The header `Idempotency-Key` as it was sent. */
  readonly idempotencyKey: string | undefined
  /** What a repeat must be the same as: the route, on whatever face, and what was sent to it. */
  readonly asked: { readonly procedure: string; readonly input: unknown }
  readonly delivery: Delivery
  /** Hears the generation's id once its row is committed, which is before the provider is asked. */
  onCommitted(id: string): void
  /** Hears that the answer is that of an earlier request. */
  onReplayed(): void
}

/**
 * Makes pictures, or answers what an earlier request with the same key made. Waits as long as the
 * delivery says; what has not ended by then goes on.
 */
export async function generate(
  deps: GenerateDeps,
  principal: Principal,
  input: GenerateInput,
  call: Call,
): Promise<Answer> {
  const { idempotencyKey: header, asked } = call
  const claim =
    header === undefined
      ? undefined
      : await claimOf(principal, header, asked.procedure, asked.input)
  const preparing = prepareOnce(deps, principal, input)
  try {
    const repeat = { ...call, images: async () => (await preparing.get()).inputs.images }
    const earlier = claim && (await findEarlier(deps, claim, repeat))
    if (earlier !== undefined && 'answer' in earlier) return earlier.answer
    await admitToStore(deps)
    if (call.delivery.kind === 'async') await admitToQueue(deps.db, deps, principal.userId)
    return await runOnce(deps, principal, await preparing.get(), { call, claim, earlier })
  } finally {
    preparing.leave()
  }
}

/** Preparing lets go of what was uploaded; a repeat mostly needs none of it. */
function prepareOnce(deps: GenerateDeps, principal: Principal, input: GenerateInput) {
  let prepared: Prepared | undefined
  return {
    get: async () => (prepared ??= await prepare(deps, principal, input)),
    leave: () => prepared?.leave(),
  }
}

/** How a request is run: for whom, under which claim, and after which failure. */
interface How {
  readonly call: Call
  readonly claim: Claim | undefined
  readonly earlier: Exclude<Earlier, { answer: unknown }> | undefined
}

/** Runs it unless another request with the same key of idempotency is quicker. */
async function runOnce(
  deps: GenerateDeps,
  principal: Principal,
  prepared: Prepared,
  how: How,
): Promise<Answer> {
  try {
    return await begin(deps, principal, prepared, how)
  } catch (error) {
    if (!(error instanceof ClaimedMeanwhile) || how.claim === undefined) throw error
    const repeat = { ...how.call, images: async () => prepared.inputs.images }
    const earlier = await findEarlier(deps, how.claim, repeat)
    if (earlier !== undefined && 'answer' in earlier) return earlier.answer
    return runOnce(deps, principal, prepared, { ...how, earlier })
  }
}

/** A request that may be run, however often. */
interface Prepared {
  readonly input: GenerateInput
  readonly request: CheckedRequest
  readonly provider: ImageProvider
  readonly inputs: InputImages
  /** The caller's part is over; what runs on may keep the images. */
  leave(): void
  /** Keeps the room of the images; answers how to give it back. */
  stay(): () => void
}

async function prepare(
  deps: GenerateDeps,
  principal: Principal,
  input: GenerateInput,
): Promise<Prepared> {
  const request = checkRequest(deps.catalogue, deps.settings.defaultModel, principal, input)
  const provider = providerOf(deps, request.mode)
  const inputs = await prepareImages(deps, principal, input.images ?? [])
  return { input, request, provider, inputs, ...sharedRoom(inputs) }
}

/** Given back by the last of those who use the images. */
function sharedRoom({ release }: InputImages): Pick<Prepared, 'leave' | 'stay'> {
  let users = 1
  const leave = () => {
    if (--users === 0) release()
  }
  const stay = () => {
    users++
    return leave
  }
  return { leave, stay }
}

/** Runs it here where the caller waits and there is a place, else puts it into the queue. */
async function begin(
  deps: GenerateDeps,
  principal: Principal,
  prepared: Prepared,
  how: How,
): Promise<Answer> {
  const { delivery } = how.call
  if (delivery.kind === 'async') return enqueue(deps, principal, prepared, how)
  const slot = deps.slots.tryTake(runHolder(principal.userId))
  if (slot === undefined) return enqueue(deps, principal, prepared, how)
  const run = newRun()
  let begun: Begun
  try {
    const detached = delivery.kind === 'stream'
    begun = await startAs(deps, principal, prepared, how, { run: run.owner, detached })
  } catch (error) {
    slot()
    throw error
  }
  const { request, input, provider, inputs } = prepared
  const { paid, row } = begun
  const { images } = inputs
  const job: Job = { ...request, id: row.id, prompt: input.prompt, images, paid, run }
  const leave = prepared.stay()
  const running = runJob(deps, provider, job).finally(() => {
    slot()
    leave()
  })
  // Ends before the database closes, also when nobody waits any more.
  deps.background.run('generation', () => running.catch(() => {}))
  return delivery.kind === 'stream'
    ? answerBegun(deps, row)
    : waitHere(deps, principal, job, running, timeOf(deps, delivery))
}

/** Waits for what runs in this process, which needs no look at the database until its store fails. */
async function waitHere(
  deps: GenerateDeps,
  principal: Principal,
  job: Job,
  running: Promise<Ended | 'spooled'>,
  ms: number,
): Promise<Answer> {
  const over = new AbortController()
  const deadline = performance.now() + ms
  const late = sleep(ms, undefined, { signal: over.signal })
  try {
    const ended = await Promise.race([running, late.catch(() => undefined)])
    if (ended === 'spooled') {
      await waitForEnd(deps, job.id, deadline - performance.now())
      return await answerOf(deps, principal, job.id)
    }
    if (ended !== undefined) return await answerWith(deps, ended).catch(rejectPaid)
  } finally {
    over.abort()
  }
  await detachJob(deps, job)
  return answerOf(deps, principal, job.id)
}

/** A store that hangs must not keep the caller past the patience of whatever stands in between. */
const DETACH_MS = 5000

/** Before the caller is told to come back, so that it will find what it was promised. */
async function detachJob(
  deps: GenerateDeps,
  { id, paid, run, images: inputs }: Job,
): Promise<void> {
  const over = new AbortController()
  const late = sleep(DETACH_MS, undefined, { signal: over.signal }).catch(() => {})
  const which = { id, attempt: paid.attempt, owner: run.owner }
  const detaching = detach(deps, which, paid.userId, inputs)
  // Goes on where it is late, and is told of where it fails.
  deps.background.run('detach', () => detaching)
  await Promise.race([detaching.catch(() => {}), late])
  over.abort()
}

async function enqueue(
  deps: GenerateDeps,
  principal: Principal,
  prepared: Prepared,
  how: How,
): Promise<Answer> {
  const as = { run: undefined, detached: true }
  const { row } = await startAs(deps, principal, prepared, how, as)
  const { delivery } = how.call
  if (delivery.kind === 'async' || delivery.kind === 'stream') return answerBegun(deps, row)
  await waitForEnd(deps, row.id, timeOf(deps, delivery))
  return answerOf(deps, principal, row.id)
}

/** For the pictures that came at the last moment to be stored and written down. */
const ENDING_MS = 10_000

/** Milliseconds after which whoever waits for an end is answered without it. */
export const longestWait = ({ settings }: Pick<Deps, 'settings'>): number =>
  settings.upstreamTimeoutMs + ENDING_MS

const timeOf = (
  deps: Pick<Deps, 'settings'>,
  delivery: Extract<Delivery, { kind: 'wait' | 'end' }>,
): number =>
  delivery.kind === 'end' ? longestWait(deps) : (delivery.ms ?? deps.settings.syncTimeoutMs)

/** It is there to be read by its id. */
const rejectPaid = (error: unknown): never => {
  throw unrepeatable(error)
}

interface Begun {
  readonly paid: Paid
  readonly row: GenerationRow
}

/** Writes the row and tells the caller its id. */
async function startAs(
  deps: GenerateDeps,
  principal: Principal,
  { input, request, inputs }: Prepared,
  { call, claim, earlier }: How,
  as: { run: string | undefined; detached: boolean },
): Promise<Begun> {
  const failed = earlier?.failed
  const id = failed?.id ?? newUuid()
  const paid: Paid = {
    userId: principal.userId,
    keyId: principal.kind === 'key' ? principal.keyId : null,
    generationId: id,
    attempt: (failed?.attempt ?? 0) + 1,
    mode: request.mode,
    model: request.model,
  }
  const tokens = estimateTokens(request, input.prompt, inputs.images.length)
  const kept = as.detached ? await keepImages(deps, principal.userId, inputs.images) : []
  const what = { failed, claim, job: paid, estimate: priceOf(paid, tokens), kept, ...as }
  try {
    const row = rowOf(paid, input, request, inputs)
    const begun = await start(deps, principal, { row, ...what })
    call.onCommitted(idOf('gen', id))
    return { paid, row: begun }
  } catch (error) {
    await images.deleteObjects(deps, kept)
    throw error
  }
}

const rowOf = (
  { generationId, userId, keyId, mode, model }: Paid,
  input: GenerateInput,
  request: CheckedRequest,
  inputs: InputImages,
): NewGeneration => ({
  id: generationId,
  user_id: userId,
  key_id: keyId,
  mode,
  model: model.id,
  prompt: input.prompt,
  aspect_ratio: request.aspectRatio ?? null,
  size: request.size,
  n: request.n,
  input_images: inputs.images.length,
  output_format: request.outputFormat ?? null,
  output_quality: request.outputQuality ?? null,
  seed: request.seed ?? null,
  thinking_level: request.thinkingLevel ?? null,
  parent_id: inputs.parentId,
  metadata: input.metadata ?? {},
  end_user: input.user ?? null,
})
