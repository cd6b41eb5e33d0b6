import {
  GenerateInput,
  Generation,
  GenerationIdInput,
  GenerationPage,
  ListGenerationsInput,
  ModelList,
  NoInput,
} from '@nanobanana/shared'
import { z } from 'zod'
import { router, scopedProcedure } from '../../kernel/procedures.ts'
import { cancel } from './canceling.ts'
import { generate } from './generate.service.ts'
import { get, list, remove } from './generations.service.ts'
import { listModels } from './models.ts'

const tags = ['generations']

export const generateProcedure = scopedProcedure('generate')
  .meta({
    takesUploads: true,
    tellsEvents: true,
    openapi: {
      method: 'POST',
      path: '/v1/generate',
      tags,
      summary: 'Makes images from a prompt, or edits some',
      description:
        'Waits for the result; where that takes longer than the server waits (90 s by default) the answer is 202 with the generation as it is by then. `Prefer: respond-async` is answered 202 at once, `Prefer: wait=N` after N seconds at the latest; `Accept: text/event-stream` asks for events. With an `Idempotency-Key` a repeat answers the same generation and buys nothing. Errors that matter: `unsupported_parameter`, `model_not_found`, `invalid_image`, `payload_too_large`, `budget_exceeded`, `concurrency_limited`, `idempotency_in_progress`, `idempotency_mismatch`, `content_blocked`, `no_image`, `provider_not_configured`, `upstream_unavailable`, `upstream_rate_limited`, `upstream_timeout`, `overloaded`. Where some of `n` images fail, the others are returned and charged, with a warning. From the moment the generation is recorded every answer, errors included, carries `X-Generation-Id` and `Location`. A failed generation costs nothing.',
    },
  })
  .input(GenerateInput)
  .output(Generation)
  .mutation(async ({ ctx, input }) => {
    const { generation, hasEnded } = await generate(ctx.deps, ctx.principal, input, {
      idempotencyKey: ctx.header('idempotency-key'),
      asked: { procedure: 'generate', input },
      delivery: ctx.delivery,
      onCommitted: (id) => {
        ctx.startWaiting()
        ctx.setHeader('x-generation-id', id)
        ctx.setHeader('location', ctx.locationOf(`/v1/generations/${id}`))
      },
      onReplayed: () => ctx.setHeader('idempotent-replayed', 'true'),
    })
    if (!hasEnded) ctx.setAccepted()
    return generation
  })

export const generationsRouter = router({
  list: scopedProcedure('read')
    .meta({
      openapi: {
        method: 'GET',
        path: '/v1/generations',
        tags,
        summary: 'Lists generations, newest first',
        description: 'A key sees the generations of its account in its own mode.',
      },
    })
    .input(ListGenerationsInput)
    .output(GenerationPage)
    .query(({ ctx, input }) => list(ctx.deps, ctx.principal, input)),

  get: scopedProcedure('read')
    .meta({
      openapi: {
        method: 'GET',
        path: '/v1/generations/{id}',
        tags,
        summary: 'Reads a generation, with fresh image URLs',
        description:
          'With `Accept: text/event-stream` its events, from the one after `Last-Event-ID` on, until it has ended.',
      },
      tellsEvents: true,
    })
    .input(GenerationIdInput)
    .output(Generation)
    .query(({ ctx, input }) => get(ctx.deps, ctx.principal, input.id)),

  cancel: scopedProcedure('generate')
    .meta({
      openapi: {
        method: 'POST',
        path: '/v1/generations/{id}/cancel',
        tags,
        summary: 'Cancels a generation that waits or runs',
        description:
          'Nothing is charged. One that is canceled already is answered again; one that succeeded or failed: `not_cancelable`.',
      },
    })
    .input(GenerationIdInput)
    .output(Generation)
    .mutation(({ ctx, input }) => cancel(ctx.deps, ctx.principal, input.id)),

  delete: scopedProcedure('generate')
    .meta({
      openapi: {
        method: 'DELETE',
        path: '/v1/generations/{id}',
        tags,
        summary: 'Deletes a generation with its prompt and images',
        description:
          'Usage and cost stay in the account’s sums. One that still runs: `not_deletable`.',
      },
      status: 204,
    })
    .input(GenerationIdInput)
    .output(z.void())
    .mutation(({ ctx, input }) => remove(ctx.deps, ctx.principal, input.id)),
})

export const modelsRouter = router({
  list: scopedProcedure('read')
    .meta({
      openapi: {
        method: 'GET',
        path: '/v1/models',
        tags: ['models'],
        summary: 'Lists the models, what each can do and what it costs',
      },
    })
    .input(NoInput)
    .output(ModelList)
    .query(({ ctx }) => listModels(ctx.deps)),
})
