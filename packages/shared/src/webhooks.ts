import { z } from 'zod'
import { Generation, GenerationId } from './generations.ts'
import { cursor, limit, page } from './pagination.ts'
import { codePoints, text, timestamp, typeId } from './text.ts'

export const WebhookId = typeId('wh', 'wh_01jd5xk3f8e2r9v7m6q4t0w1yz')
export const DeliveryId = typeId('dlv', 'dlv_01jd5xk3f8e2r9v7m6q4t0w1yz')

/** Endpoints an account may have. */
export const MAX_WEBHOOKS = 20

export const WebhookEvent = z
  .enum(['generation.succeeded', 'generation.failed', 'generation.canceled'])
  .meta({ id: 'WebhookEvent', description: 'What an endpoint can be told of.' })
export type WebhookEvent = z.infer<typeof WebhookEvent>

const URL_MAX_LENGTH = 2048
const url = text()
  .max(URL_MAX_LENGTH)
  .describe(
    `Address that events are posted to, up to ${URL_MAX_LENGTH} characters: https, port 443 or 80, a host name whose addresses are all public.`,
  )
const events = z
  .array(WebhookEvent)
  .min(1)
  .max(3)
  .refine((list) => new Set(list).size === list.length, { error: 'must not repeat an event' })
const DESCRIPTION_MAX = 256
const description = text()
  .refine((value) => codePoints(value) <= DESCRIPTION_MAX, {
    error: `must have at most ${DESCRIPTION_MAX} characters`,
  })
  .describe(`Your own note, up to ${DESCRIPTION_MAX} characters.`)

export const WebhookDisabledReason = z.enum(['user', 'gone', 'failing', 'secret_unreadable']).meta({
  id: 'WebhookDisabledReason',
  description:
    '`user`: you did. `gone`: it answered 410. `failing`: it failed for 5 days. `secret_unreadable`: the server has had no key to its secret for 5 days; rotate it.',
})
export type WebhookDisabledReason = z.infer<typeof WebhookDisabledReason>

export const Webhook = z
  .object({
    id: WebhookId,
    url: z.string(),
    events: z.array(WebhookEvent),
    description: z.string().nullable(),
    disabled: z
      .boolean()
      .describe('A disabled endpoint is told of nothing; what waits for it goes on waiting.'),
    disabled_reason: WebhookDisabledReason.nullable(),
    disabled_at: timestamp().nullable(),
    failing_since: timestamp()
      .nullable()
      .describe('The first of the failed attempts since the last that succeeded; null: none.'),
    created_at: timestamp(),
  })
  .meta({ id: 'Webhook', description: 'An endpoint that is told of events, without its secret.' })
export type Webhook = z.infer<typeof Webhook>

export const WebhookWithSecret = Webhook.extend({
  secret: z
    .string()
    .describe('`whsec_` and 32 bytes in base64, to verify with. It is shown in this answer only.'),
}).meta({ id: 'WebhookWithSecret', description: 'An endpoint with its secret.' })
export type WebhookWithSecret = z.infer<typeof WebhookWithSecret>

export const WebhookPage = page(Webhook).meta({ id: 'WebhookPage' })

export const CreateWebhookInput = z
  .strictObject({ url, events, description: description.nullish() })
  .meta({
    id: 'CreateWebhookInput',
    examples: [{ url: 'https://example.com/hooks', events: ['generation.succeeded'] }],
  })
export type CreateWebhookInput = z.infer<typeof CreateWebhookInput>

export const ListWebhooksInput = z
  .strictObject({ limit: limit(), cursor: cursor() })
  .meta({ id: 'ListWebhooksInput' })
export type ListWebhooksInput = z.infer<typeof ListWebhooksInput>

export const WebhookIdInput = z.strictObject({ id: WebhookId }).meta({ id: 'WebhookIdInput' })

export const UpdateWebhookInput = z
  .strictObject({
    id: WebhookId,
    url: url.optional(),
    events: events.optional(),
    description: description.nullish(),
    disabled: z
      .boolean()
      .optional()
      .describe('True: it is told of nothing. False: it is told again, and what waited is sent.'),
  })
  .meta({ id: 'UpdateWebhookInput' })
export type UpdateWebhookInput = z.infer<typeof UpdateWebhookInput>

const DAY_SECONDS = 86_400
export const RotateWebhookSecretInput = z
  .strictObject({
    id: WebhookId,
    grace_seconds: z
      .int()
      .min(0)
      .max(7 * DAY_SECONDS)
      .default(DAY_SECONDS)
      .describe('Seconds for which the old secret signs too, 0 to 604800. Default 86400.'),
  })
  .meta({ id: 'RotateWebhookSecretInput' })
export type RotateWebhookSecretInput = z.infer<typeof RotateWebhookSecretInput>

export const DeliveryStatus = z.enum(['pending', 'delivered', 'failed', 'dropped']).meta({
  id: 'DeliveryStatus',
  description:
    '`pending`: an attempt is due or under way. `failed`: no attempt is left. `dropped`: its generation was deleted.',
})
export type DeliveryStatus = z.infer<typeof DeliveryStatus>

export const DeliveryError = z.enum(['bad_status', 'unreachable']).meta({
  id: 'DeliveryError',
  description:
    '`bad_status`: the answer was not 2xx; redirects are not followed. `unreachable`: no answer, whatever the reason.',
})
export type DeliveryError = z.infer<typeof DeliveryError>

export const DeliveryAttempt = z
  .object({
    number: z.int().describe('1 for the first.'),
    at: timestamp(),
    status_code: z.int().nullable().describe('HTTP status of the answer; null: there was none.'),
    duration_ms: z.int().describe('Milliseconds.'),
    error: DeliveryError.nullable(),
  })
  .meta({ id: 'DeliveryAttempt' })
export type DeliveryAttempt = z.infer<typeof DeliveryAttempt>

/** What a delivery can be of: an event, or a test that somebody asked for. */
export const DeliveryType = z.enum([...WebhookEvent.options, 'webhook.test'])
export type DeliveryType = z.infer<typeof DeliveryType>

/** Attempts that a delivery shows. */
export const MAX_SHOWN_ATTEMPTS = 20

/** The body of a message to an endpoint. */
export const WebhookMessage = z
  .object({
    type: DeliveryType,
    timestamp: timestamp().describe('When it happened.'),
    data: Generation.describe('As `GET` answered it at this attempt, its image URLs fresh.'),
    truncated: z
      .array(z.enum(['text', 'prompt', 'metadata']))
      .optional()
      .describe('Fields of `data` that were cut to keep the body within 64 kB.'),
  })
  .meta({ id: 'WebhookMessage', description: 'The body of a message to an endpoint.' })
export type WebhookMessage = z.infer<typeof WebhookMessage>

export const Delivery = z
  .object({
    id: DeliveryId,
    message_id: z.string().describe('The header `webhook-id`, the same in every attempt.'),
    type: DeliveryType,
    generation_id: GenerationId.nullable(),
    status: DeliveryStatus,
    created_at: timestamp(),
    next_attempt_at: timestamp().nullable().describe('Null once it has ended.'),
    ended_at: timestamp().nullable(),
    attempts: z
      .array(DeliveryAttempt)
      .describe(`Newest first, the last ${MAX_SHOWN_ATTEMPTS} of them.`),
  })
  .meta({ id: 'Delivery', description: 'An event on its way to an endpoint.' })
export type Delivery = z.infer<typeof Delivery>

export const DeliveryPage = page(Delivery).meta({ id: 'DeliveryPage' })

export const ListDeliveriesInput = z
  .strictObject({ id: WebhookId, limit: limit(), cursor: cursor() })
  .meta({ id: 'ListDeliveriesInput' })
export type ListDeliveriesInput = z.infer<typeof ListDeliveriesInput>

export const DeliveryIdInput = z
  .strictObject({ id: WebhookId, delivery_id: DeliveryId })
  .meta({ id: 'DeliveryIdInput' })
export type DeliveryIdInput = z.infer<typeof DeliveryIdInput>
