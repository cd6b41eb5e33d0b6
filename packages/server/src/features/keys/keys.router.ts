import {
  ApiKey,
  ApiKeyPage,
  ApiKeyWithSecret,
  CreateKeyInput,
  KeyIdInput,
  ListKeysInput,
  RotateKeyInput,
  UpdateKeyInput,
} from '@nanobanana/shared'
import { z } from 'zod'
import { router, sessionProcedure } from '../../kernel/procedures.ts'
import { create, get, list, revoke, rotate, update } from './keys.service.ts'

const tags = ['keys']

export const keysRouter = router({
  create: sessionProcedure
    .meta({
      status: 201,
      openapi: {
        method: 'POST',
        path: '/v1/keys',
        tags,
        summary: 'Creates an API key',
        description:
          'The secret is in this answer only; the service keeps a digest. An account has at most 25 active keys (`key_limit_reached`).',
      },
    })
    .input(CreateKeyInput)
    .output(ApiKeyWithSecret)
    .mutation(({ ctx, input }) => create(ctx.deps, ctx.principal, input)),

  list: sessionProcedure
    .meta({
      openapi: {
        method: 'GET',
        path: '/v1/keys',
        tags,
        summary: 'Lists API keys, newest first',
        description: 'Revoked keys stay listed.',
      },
    })
    .input(ListKeysInput)
    .output(ApiKeyPage)
    .query(({ ctx, input }) => list(ctx.deps, ctx.principal, input)),

  get: sessionProcedure
    .meta({
      openapi: { method: 'GET', path: '/v1/keys/{id}', tags, summary: 'Reads an API key' },
    })
    .input(KeyIdInput)
    .output(ApiKey)
    .query(({ ctx, input }) => get(ctx.deps, ctx.principal, input.id)),

  update: sessionProcedure
    .meta({
      openapi: {
        method: 'PATCH',
        path: '/v1/keys/{id}',
        tags,
        summary: 'Changes the name, limits or expiry of an API key, or disables it',
        description: 'Fields that are left out stay; null removes a limit or the expiry.',
      },
    })
    .input(UpdateKeyInput)
    .output(ApiKey)
    .mutation(({ ctx, input }) => update(ctx.deps, ctx.principal, input)),

  revoke: sessionProcedure
    .meta({
      status: 204,
      openapi: {
        method: 'DELETE',
        path: '/v1/keys/{id}',
        tags,
        summary: 'Revokes an API key for good',
        description: 'The very next request with it is refused. Revoking again is no error.',
      },
    })
    .input(KeyIdInput)
    .output(z.void())
    .mutation(({ ctx, input }) => revoke(ctx.deps, ctx.principal, input.id)),

  rotate: sessionProcedure
    .meta({
      status: 201,
      openapi: {
        method: 'POST',
        path: '/v1/keys/{id}/rotate',
        tags,
        summary: 'Gives an API key a new secret',
        description:
          'The id, limits and usage stay. The old secret ends at once, or after `grace_seconds`.',
      },
    })
    .input(RotateKeyInput)
    .output(ApiKeyWithSecret)
    .mutation(({ ctx, input }) => rotate(ctx.deps, ctx.principal, input)),
})
