import type {
  CreateWebhookInput,
  Delivery,
  DeliveryIdInput,
  ListDeliveriesInput,
  ListWebhooksInput,
  RotateWebhookSecretInput,
  UpdateWebhookInput,
  Webhook,
  WebhookWithSecret,
} from '@nanobanana/shared'
import { MAX_WEBHOOKS } from '@nanobanana/shared'
import { transaction, type Tx } from '../../db/client.ts'
import { AppError } from '../../kernel/app-error.ts'
import { recordEvent, recordEvents } from '../../kernel/audit.repo.ts'
import { deleteInBatches } from '../../kernel/batches.ts'
import type { Deps } from '../../kernel/deps.ts'
import { idOf, type IdPrefix, newUuid, parseId, uuidOf } from '../../kernel/ids.ts'
import type { SessionPrincipal } from '../../kernel/principal.ts'
import { seal, sealMark, unseal } from '../../kernel/sealed.ts'
import * as auth from '../auth/auth.service.ts'
import { insertClaimed } from './claims.repo.ts'
import { claim, deliver, type DeliverDeps, type Render } from './deliver.ts'
import {
  type AttemptRow,
  countWaiting,
  deleteBuriedWebhooks,
  deleteDeliveriesOfDeleted,
  deleteOldDeliveries,
  type DeliveryRow,
  type EndedGeneration,
  findDelivery,
  insertDeliveries,
  listAttempts,
  listDeliveries,
  resetDelivery,
} from './deliveries.repo.ts'
import { LAST_STEP } from './schedule.ts'
import { displaySecret, generateSecret } from './signing.ts'
import {
  buryWebhook,
  countWebhooks,
  deleteWebhooksOfUser,
  findWebhook,
  insertSecret,
  insertWebhook,
  listMarkedSecrets,
  listWebhooks,
  lockWebhook,
  replaceSealed,
  retireSecrets,
  updateWebhook,
  type WebhookChanges,
  type WebhookRow,
} from './webhooks.repo.ts'

export { claim, deliver, type DeliverDeps, type Render }

type Owner = Pick<SessionPrincipal, 'userId' | 'tokenVersion'>

export async function create(
  deps: Pick<Deps, 'db' | 'secrets' | 'webhookSender'>,
  owner: Owner,
  input: CreateWebhookInput,
): Promise<WebhookWithSecret> {
  const { userId } = owner
  const url = await checkedUrl(deps, input.url)
  return transaction(deps.db, async (tx) => {
    await lockOwner(tx, owner)
    const row = await insertWebhook(tx, {
      id: newUuid(),
      user_id: userId,
      url,
      events: input.events,
      description: input.description ?? null,
    })
    if ((await countWebhooks(tx, userId)) > MAX_WEBHOOKS) {
      throw new AppError('webhook_limit_reached')
    }
    const secret = await storeSecret(tx, deps, row.id)
    await recordEvent(tx, { action: 'webhook.created', userId, webhookId: row.id })
    return { ...render(row), secret }
  })
}

export async function list(
  deps: Pick<Deps, 'db'>,
  { userId }: Owner,
  input: ListWebhooksInput,
): Promise<{ data: Webhook[]; next_cursor: string | null }> {
  const before = parseCursor('wh', input.cursor)
  const rows = await listWebhooks(deps.db, userId, { limit: input.limit + 1, before })
  const { shown, next_cursor } = pageOf('wh', rows, input.limit)
  return { data: shown.map(render), next_cursor }
}

export async function get(deps: Pick<Deps, 'db'>, { userId }: Owner, id: string): Promise<Webhook> {
  const row = await findWebhook(deps.db, userId, uuidOf(id))
  if (row === undefined) throw new AppError('not_found')
  return render(row)
}

export async function update(
  deps: Pick<Deps, 'db' | 'webhookSender'>,
  owner: Owner,
  input: UpdateWebhookInput,
): Promise<Webhook> {
  const { userId } = owner
  const webhookId = uuidOf(input.id)
  const changes = await changesOf(deps, owner, input)
  return transaction(deps.db, async (tx) => {
    await lockOwner(tx, owner)
    const row = await updateWebhook(tx, userId, webhookId, changes)
    if (row === undefined) throw new AppError('not_found')
    const detail = Object.keys(changes).join()
    await recordEvent(tx, { action: 'webhook.updated', userId, webhookId, detail })
    return render(row)
  })
}

async function changesOf(
  deps: Pick<Deps, 'db' | 'webhookSender'>,
  owner: Owner,
  { id, url, events, description, disabled }: UpdateWebhookInput,
): Promise<WebhookChanges> {
  const changes = {
    ...(events === undefined ? {} : { events }),
    ...(description === undefined ? {} : { description }),
    ...(disabled === undefined ? {} : { disabled }),
  }
  if (url === undefined) {
    if (Object.keys(changes).length > 0) return changes
    throw new AppError('invalid_input', 'Name at least one field to change.')
  }
  // Before the name is looked up: whose webhook it is not makes us ask no name server.
  await get(deps, owner, id)
  return { url: await checkedUrl(deps, url), ...changes }
}

/** Its deliveries end with it. */
export const remove = ({ db }: Pick<Deps, 'db'>, { userId }: Owner, id: string): Promise<void> =>
  transaction(db, async (tx) => {
    const webhookId = uuidOf(id)
    if (!(await buryWebhook(tx, userId, webhookId))) throw new AppError('not_found')
    await recordEvent(tx, { action: 'webhook.deleted', userId, webhookId })
  })

/** Gives the endpoint a new secret; the old one signs beside it for the grace. */
export const rotateSecret = (
  deps: Pick<Deps, 'db' | 'secrets'>,
  { userId }: Owner,
  input: RotateWebhookSecretInput,
): Promise<WebhookWithSecret> =>
  transaction(deps.db, async (tx) => {
    const webhookId = uuidOf(input.id)
    const row = await lockWebhook(tx, userId, webhookId)
    if (row === undefined) throw new AppError('not_found')
    await retireSecrets(tx, webhookId, input.grace_seconds)
    const secret = await storeSecret(tx, deps, webhookId)
    await recordEvent(tx, { action: 'webhook.secret_rotated', userId, webhookId })
    return { ...render(row), secret }
  })

/** Sends a sample now, once, and answers what came of it. */
export async function test(deps: DeliverDeps, { userId }: Owner, id: string): Promise<Delivery> {
  const row = await findWebhook(deps.db, userId, uuidOf(id))
  if (row === undefined) throw new AppError('not_found')
  const delivery = {
    id: newUuid(),
    webhookId: row.id,
    type: 'webhook.test',
    step: LAST_STEP,
  } as const
  const { created_at } = await insertClaimed(deps.db, delivery)
  const claimed = {
    id: delivery.id,
    webhook_id: row.id,
    user_id: userId,
    url: row.url,
    generation_id: null,
    type: delivery.type,
    attempt: 1,
    step: delivery.step,
    created_at,
    claimed_at: created_at,
  }
  await deliver(deps, claimed, async () => undefined)
  return read(deps, row.id, delivery.id)
}

export async function deliveries(
  deps: Pick<Deps, 'db'>,
  owner: Owner,
  input: ListDeliveriesInput,
): Promise<{ data: Delivery[]; next_cursor: string | null }> {
  const before = parseCursor('dlv', input.cursor)
  await get(deps, owner, input.id)
  const page = { limit: input.limit + 1, before }
  const rows = await listDeliveries(deps.db, uuidOf(input.id), page)
  const { shown, next_cursor } = pageOf('dlv', rows, input.limit)
  return { data: await renderDeliveries(deps, shown), next_cursor }
}

/** Makes a delivery due again; one under way is answered as it is. */
export async function redeliver(
  deps: Pick<Deps, 'db'>,
  { userId }: Owner,
  input: DeliveryIdInput,
): Promise<Delivery> {
  const [webhookId, deliveryId] = [uuidOf(input.id), uuidOf(input.delivery_id)]
  await transaction(deps.db, async (tx) => {
    const webhook = await lockWebhook(tx, userId, webhookId)
    const found = webhook && (await findDelivery(tx, webhookId, deliveryId))
    if (webhook === undefined || found === undefined) throw new AppError('not_found')
    if (webhook.disabled_at !== null) throw disabled()
    if (found.generation_id === null) throw onlyATest()
    await resetDelivery(tx, webhookId, deliveryId)
  })
  return read(deps, webhookId, deliveryId)
}

/** Writes an event for every endpoint of the account that is told of it, in the transaction that makes it. */
export const enqueue = (tx: Tx, ended: EndedGeneration): Promise<void> =>
  insertDeliveries(tx, ended)

export async function deleteAllOf(tx: Tx, userId: string): Promise<void> {
  const ids = await deleteWebhooksOfUser(tx, userId)
  await recordEvents(
    tx,
    ids.map((webhookId) => ({
      action: 'webhook.deleted',
      userId,
      webhookId,
      detail: 'account_deleted',
    })),
  )
}

/** What waits to be delivered, for whoever watches the installation. */
export const readBacklog = ({ db }: Pick<Deps, 'db'>) => countWaiting(db)

/** Removes what is 30 days old or belongs to an endpoint that was deleted; answers how many. */
export async function sweep({ db }: Pick<Deps, 'db'>, signal: AbortSignal): Promise<number> {
  const removed = [
    await deleteInBatches((limit) => deleteOldDeliveries(db, limit), signal),
    await deleteInBatches((limit) => deleteDeliveriesOfDeleted(db, limit), signal),
    await deleteInBatches((limit) => deleteBuriedWebhooks(db, limit), signal),
  ]
  return removed.reduce((sum, count) => sum + count, 0)
}

const RESEAL_BATCH = 500

/**
 * Seals anew, under the first server secret, what an older one sealed, so that the older one can be
 * dropped; answers how many. What cannot be opened stays as it is.
 */
export async function reseal({ db, secrets }: Pick<Deps, 'db' | 'secrets'>): Promise<number> {
  const [first, ...older] = secrets.sealingKeys
  const marks = older.map(sealMark)
  let count = 0
  for (let unopened = 0; marks.length > 0;) {
    const found = await listMarkedSecrets(db, marks, RESEAL_BATCH + unopened)
    if (found.length <= unopened) break
    unopened = 0
    for (const one of found) {
      const secret = unseal(older, one.sealed, one.webhook_id)
      if (secret === undefined) unopened++
      else {
        await replaceSealed(db, one, seal(first, secret, one.webhook_id))
        count++
      }
    }
  }
  return count
}

async function checkedUrl(
  { webhookSender }: Pick<Deps, 'webhookSender'>,
  text: string,
): Promise<string> {
  const checked = await webhookSender.check(text)
  if ('url' in checked) return checked.url
  throw new AppError('invalid_input', `url: ${checked.fault}.`, { param: 'url' })
}

/** One after the other, or parallel requests would together pass the bound. */
async function lockOwner(tx: Tx, owner: Owner): Promise<void> {
  if (!(await auth.lock(tx, owner))) throw new AppError('invalid_token')
}

async function storeSecret(
  tx: Tx,
  { secrets }: Pick<Deps, 'secrets'>,
  webhookId: string,
): Promise<string> {
  const secret = generateSecret()
  const sealed = seal(secrets.sealingKeys[0], secret, webhookId)
  await insertSecret(tx, { id: newUuid(), webhook_id: webhookId, sealed })
  return displaySecret(secret)
}

const disabled = (): AppError =>
  new AppError('invalid_input', 'id: the webhook is disabled; enable it first.', { param: 'id' })

const onlyATest = (): AppError =>
  new AppError('invalid_input', 'delivery_id: a test is not sent again; make another.', {
    param: 'delivery_id',
  })

function parseCursor(prefix: IdPrefix, cursor: string | undefined): string | undefined {
  if (cursor === undefined) return undefined
  const id = parseId(prefix, cursor)
  if (id !== undefined) return id
  throw new AppError('invalid_input', 'cursor: is not one of ours.', { param: 'cursor' })
}

function pageOf<T extends { id: string }>(prefix: IdPrefix, rows: readonly T[], limit: number) {
  const shown = rows.slice(0, limit)
  const last = shown.at(-1)
  const hasMore = rows.length > shown.length && last !== undefined
  return { shown, next_cursor: hasMore ? idOf(prefix, last.id) : null }
}

const render = (row: WebhookRow): Webhook => ({
  id: idOf('wh', row.id),
  url: row.url,
  events: row.events,
  description: row.description,
  disabled: row.disabled_at !== null,
  disabled_reason: row.disabled_reason,
  disabled_at: row.disabled_at?.toISOString() ?? null,
  failing_since: row.failing_since?.toISOString() ?? null,
  created_at: row.created_at.toISOString(),
})

async function read(deps: Pick<Deps, 'db'>, webhookId: string, id: string): Promise<Delivery> {
  const row = await findDelivery(deps.db, webhookId, id)
  const [delivery] = await renderDeliveries(deps, row === undefined ? [] : [row])
  if (delivery === undefined) throw new AppError('not_found')
  return delivery
}

async function renderDeliveries(
  { db }: Pick<Deps, 'db'>,
  rows: readonly DeliveryRow[],
): Promise<Delivery[]> {
  const attempts = await listAttempts(
    db,
    rows.map(({ id }) => id),
  )
  return rows.map((row) =>
    renderDelivery(
      row,
      attempts.filter((one) => one.delivery_id === row.id),
    ),
  )
}

const renderDelivery = (row: DeliveryRow, attempts: readonly AttemptRow[]): Delivery => ({
  id: idOf('dlv', row.id),
  message_id: idOf('msg', row.id),
  type: row.type,
  generation_id: row.generation_id === null ? null : idOf('gen', row.generation_id),
  status: row.status,
  created_at: row.created_at.toISOString(),
  next_attempt_at: row.next_attempt_at?.toISOString() ?? null,
  ended_at: row.ended_at?.toISOString() ?? null,
  attempts: attempts.map((one) => ({
    number: one.number,
    at: one.began_at.toISOString(),
    status_code: one.status_code,
    duration_ms: one.duration_ms,
    error: one.error,
  })),
})
