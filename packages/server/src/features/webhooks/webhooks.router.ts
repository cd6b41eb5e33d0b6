import {
  CreateWebhookInput,
  Delivery,
  DeliveryIdInput,
  DeliveryPage,
  ListDeliveriesInput,
  ListWebhooksInput,
  RotateWebhookSecretInput,
  UpdateWebhookInput,
  Webhook,
  WebhookIdInput,
  WebhookPage,
  WebhookWithSecret,
} from '@nanobanana/shared'
import { z } from 'zod'
import { router, sessionProcedure } from '../../kernel/procedures.ts'
import {
  create,
  deliveries,
  get,
  list,
  redeliver,
  remove,
  rotateSecret,
  test,
  update,
} from './webhooks.service.ts'

const tags = ['webhooks']

export const webhooksRouter = router({
  create: sessionProcedure
    .meta({
      status: 201,
      openapi: {
        method: 'POST',
        path: '/v1/webhooks',
        tags,
        summary: 'Creates an endpoint that is told of events',
        description:
          'The secret is in this answer only. Every message is signed with it by Standard Webhooks 1.0. An account has at most 20 endpoints (`webhook_limit_reached`).',
      },
    })
    .input(CreateWebhookInput)
    .output(WebhookWithSecret)
    .mutation(({ ctx, input }) => create(ctx.deps, ctx.principal, input)),

  list: sessionProcedure
    .meta({
      openapi: {
        method: 'GET',
        path: '/v1/webhooks',
        tags,
        summary: 'Lists endpoints, newest first',
      },
    })
    .input(ListWebhooksInput)
    .output(WebhookPage)
    .query(({ ctx, input }) => list(ctx.deps, ctx.principal, input)),

  get: sessionProcedure
    .meta({
      openapi: { method: 'GET', path: '/v1/webhooks/{id}', tags, summary: 'Reads an endpoint' },
    })
    .input(WebhookIdInput)
    .output(Webhook)
    .query(({ ctx, input }) => get(ctx.deps, ctx.principal, input.id)),

  update: sessionProcedure
    .meta({
      openapi: {
        method: 'PATCH',
        path: '/v1/webhooks/{id}',
        tags,
        summary: 'Changes the address, events or description of an endpoint, or disables it',
        description: 'Fields that are left out stay; null removes the description.',
      },
    })
    .input(UpdateWebhookInput)
    .output(Webhook)
    .mutation(({ ctx, input }) => update(ctx.deps, ctx.principal, input)),

  delete: sessionProcedure
    .meta({
      status: 204,
      openapi: {
        method: 'DELETE',
        path: '/v1/webhooks/{id}',
        tags,
        summary: 'Deletes an endpoint with its deliveries',
        description: 'What waits for it is not sent any more.',
      },
    })
    .input(WebhookIdInput)
    .output(z.void())
    .mutation(({ ctx, input }) => remove(ctx.deps, ctx.principal, input.id)),

  rotate_secret: sessionProcedure
    .meta({
      status: 201,
      openapi: {
        method: 'POST',
        path: '/v1/webhooks/{id}/rotate_secret',
        tags,
        summary: 'Gives an endpoint a new secret',
        description:
          'The new one is in this answer only. For `grace_seconds` messages carry a signature of each, and either verifies.',
      },
    })
    .input(RotateWebhookSecretInput)
    .output(WebhookWithSecret)
    .mutation(({ ctx, input }) => rotateSecret(ctx.deps, ctx.principal, input)),

  test: sessionProcedure
    .meta({
      openapi: {
        method: 'POST',
        path: '/v1/webhooks/{id}/test',
        tags,
        summary: 'Sends a sample to an endpoint now',
        description:
          'A signed message of the type `webhook.test` with a generation that never was, sent once, also to a disabled endpoint. Answers the delivery with what came of it, after 15 seconds at most.',
      },
    })
    .input(WebhookIdInput)
    .output(Delivery)
    .mutation(({ ctx, input }) => test(ctx.deps, ctx.principal, input.id)),

  deliveries: sessionProcedure
    .meta({
      openapi: {
        method: 'GET',
        path: '/v1/webhooks/{id}/deliveries',
        tags,
        summary: 'Lists what was and will be sent to an endpoint, newest first',
        description: 'Kept for 30 days after their end.',
      },
    })
    .input(ListDeliveriesInput)
    .output(DeliveryPage)
    .query(({ ctx, input }) => deliveries(ctx.deps, ctx.principal, input)),

  redeliver: sessionProcedure
    .meta({
      openapi: {
        method: 'POST',
        path: '/v1/webhooks/{id}/deliveries/{delivery_id}/redeliver',
        tags,
        summary: 'Sends a delivery again, whatever became of it',
        description:
          'It is due at once and has its whole schedule of attempts before it; `webhook-id` stays.',
      },
    })
    .input(DeliveryIdInput)
    .output(Delivery)
    .mutation(({ ctx, input }) => redeliver(ctx.deps, ctx.principal, input)),
})
