import type { Generation } from '@nanobanana/shared'
import { transaction, type Tx } from '../../db/client.ts'
import { recordEvent } from '../../kernel/audit.repo.ts'
import type { Deps } from '../../kernel/deps.ts'
import { idOf } from '../../kernel/ids.ts'
import { unseal } from '../../kernel/sealed.ts'
import type { WebhookAnswer } from '../../ports/webhook-sender.ts'
import {
  type Attempt,
  type Claimed,
  claimDeliveries,
  disableWebhook,
  insertAttempt,
  listDueWebhooks,
  lockWebhooks,
  type Mark,
  markDelivery,
  noteFailure,
  noteSuccess,
} from './claims.repo.ts'
import { payloadOf } from './payload.ts'
import { sampleGeneration } from './sample.ts'
import { delayAfter } from './schedule.ts'
import { signedHeaders } from './signing.ts'
import { listSecrets } from './webhooks.repo.ts'

/** A generation as its owner would read it now; undefined for one that was deleted. */
export type Render = (userId: string, generationId: string) => Promise<Generation | undefined>

export type DeliverDeps = Pick<Deps, 'db' | 'secrets' | 'settings' | 'webhookSender' | 'log'>

const GONE = 410

/** Takes attempts that are due, `limit` at most; see `listDueWebhooks` for `failing`. */
export async function claim(
  { db }: Pick<Deps, 'db'>,
  { failing, limit }: { failing: boolean; limit: number },
): Promise<Claimed[]> {
  const due = await listDueWebhooks(db, failing)
  if (due.length === 0) return []
  return transaction(db, async (tx) => {
    const locked = new Set(await lockWebhooks(tx, due))
    // A statement of its own: it sees what others claimed before they let go of the lock.
    return claimDeliveries(
      tx,
      due.filter((id) => locked.has(id)),
      limit,
    )
  })
}

/** Makes a claimed attempt and writes what came of it. A crash in between makes it happen again. */
export async function deliver(deps: DeliverDeps, claimed: Claimed, render: Render): Promise<void> {
  const generation = await dataOf(deps, claimed, render)
  const sealed = await listSecrets(deps.db, claimed.webhook_id)
  // The generation was deleted, or the endpoint with its secrets.
  if (generation === undefined || sealed.length === 0) return drop(deps, claimed)
  const secrets = openSecrets(deps, claimed.webhook_id, sealed)
  if (secrets.length === 0) return putOffUnsigned(deps, claimed)
  const began = performance.now()
  const answer = await deps.webhookSender.send(messageOf(claimed, generation, secrets))
  await settle(deps, claimed, answer, Math.round(performance.now() - began))
}

const dataOf = (
  { settings }: Pick<Deps, 'settings'>,
  { user_id, generation_id, created_at }: Claimed,
  render: Render,
): Promise<Generation | undefined> =>
  generation_id === null
    ? Promise.resolve(sampleGeneration(settings.publicUrl, created_at))
    : render(user_id, generation_id)

const drop = ({ db }: Pick<Deps, 'db'>, claimed: Claimed): Promise<void> =>
  transaction(db, async (tx) => {
    await markDelivery(tx, claimed, { status: 'dropped' })
  })

const openSecrets = (
  { secrets }: Pick<Deps, 'secrets'>,
  webhookId: string,
  sealed: readonly Uint8Array[],
): Buffer[] => sealed.flatMap((one) => unseal(secrets.sealingKeys, one, webhookId) ?? [])

function messageOf(claimed: Claimed, generation: Generation, secrets: readonly Buffer[]) {
  const body = payloadOf(claimed.type, claimed.created_at, generation)
  const headers = signedHeaders(secrets, {
    messageId: idOf('msg', claimed.id),
    timestamp: Math.floor(claimed.claimed_at.getTime() / 1000),
    body,
  })
  return { url: claimed.url, headers, body }
}

async function settle(
  deps: Pick<Deps, 'db' | 'log'>,
  claimed: Claimed,
  answer: WebhookAnswer,
  durationMs: number,
): Promise<void> {
  const attempt = attemptOf(answer, durationMs)
  await transaction(deps.db, async (tx) => {
    // First, in the order in which a claim locks.
    const reason = await judge(tx, claimed, answer)
    if (!(await markDelivery(tx, claimed, markOf(claimed, answer)))) return
    await insertAttempt(tx, claimed, attempt)
    if (reason !== undefined) await disable(tx, claimed, reason)
  })
}

const isSuccess = (answer: WebhookAnswer): boolean =>
  answer !== undefined && answer.status >= 200 && answer.status < 300

const attemptOf = (answer: WebhookAnswer, durationMs: number): Attempt => ({
  durationMs,
  statusCode: answer?.status ?? null,
  error: isSuccess(answer) ? null : answer === undefined ? 'unreachable' : 'bad_status',
})

function markOf({ step }: Claimed, answer: WebhookAnswer): Mark {
  if (isSuccess(answer)) return { status: 'delivered' }
  const delay = delayAfter(step, answer?.retryAfterSeconds)
  if (delay === undefined || answer?.status === GONE) return { status: 'failed' }
  return { retryInSeconds: delay, nextStep: step + 1 }
}

/** Notes how the endpoint does; answers why it is to be disabled, if it is. A test says nothing of it. */
async function judge(
  tx: Tx,
  { webhook_id, generation_id }: Claimed,
  answer: WebhookAnswer,
): Promise<'gone' | 'failing' | undefined> {
  if (generation_id === null) return undefined
  if (isSuccess(answer)) {
    await noteSuccess(tx, webhook_id)
    return undefined
  }
  const isHopeless = await noteFailure(tx, webhook_id)
  if (answer?.status === GONE) return 'gone'
  return isHopeless ? 'failing' : undefined
}

async function disable(
  tx: Tx,
  { webhook_id: webhookId, user_id: userId }: Claimed,
  reason: 'gone' | 'failing' | 'secret_unreadable',
): Promise<void> {
  if (!(await disableWebhook(tx, webhookId, reason))) return
  await recordEvent(tx, { action: 'webhook.disabled', userId, webhookId, detail: reason })
}

const RETRY_UNSIGNED_SECONDS = 600

/**
 * Another process may know the secret that sealed it, as while one is replaced; so it is put off, and
 * only an endpoint of which nobody has known it for days is disabled.
 */
async function putOffUnsigned(deps: Pick<Deps, 'db' | 'log'>, claimed: Claimed): Promise<void> {
  deps.log.error(
    { webhook: idOf('wh', claimed.webhook_id) },
    'no configured JWT_SECRET opens the secret of a webhook',
  )
  await transaction(deps.db, async (tx) => {
    const isTest = claimed.generation_id === null
    const isHopeless = !isTest && (await noteFailure(tx, claimed.webhook_id))
    const later = { retryInSeconds: RETRY_UNSIGNED_SECONDS, nextStep: claimed.step }
    await markDelivery(tx, claimed, isTest ? { status: 'failed' } : later)
    if (isHopeless) await disable(tx, claimed, 'secret_unreadable')
  })
}
