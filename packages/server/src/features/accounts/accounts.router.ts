import { ChangePasswordInput, DeleteAccountInput, Me, NoInput } from '@nanobanana/shared'
import { z } from 'zod'
import { router, sessionProcedure } from '../../kernel/procedures.ts'
import { changePassword, deleteAccount, getMe } from './accounts.service.ts'

const tags = ['auth']

/** What spans features, under the paths of auth. */
export const accountsRouter = router({
  me: sessionProcedure
    .meta({
      openapi: {
        method: 'GET',
        path: '/v1/auth/me',
        tags,
        summary: 'Reads the account, its limit and its spend of this month',
      },
    })
    .input(NoInput)
    .output(Me)
    .query(({ ctx }) => getMe(ctx.deps, ctx.principal)),

  password: sessionProcedure
    .meta({
      status: 204,
      openapi: {
        method: 'POST',
        path: '/v1/auth/password',
        tags,
        summary: 'Changes the password',
        description:
          'Every access token of the account ends, this one too; API keys go on working unless `revoke_keys` is true.',
      },
    })
    .input(ChangePasswordInput)
    .output(z.void())
    .mutation(({ ctx, input }) => changePassword(ctx.deps, ctx, ctx.principal, input)),

  delete_account: sessionProcedure
    .meta({
      status: 204,
      openapi: {
        method: 'POST',
        path: '/v1/auth/delete_account',
        tags,
        summary: 'Deletes the account with its keys, prompts and images',
        description: 'The usage record keeps ids and amounts. The email address is free again.',
      },
    })
    .input(DeleteAccountInput)
    .output(z.void())
    .mutation(({ ctx, input }) => deleteAccount(ctx.deps, ctx, ctx.principal, input)),
})
