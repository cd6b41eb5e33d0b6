import { AccessToken, Account, LoginInput, NoInput, RegisterInput } from '@nanobanana/shared'
import { z } from 'zod'
import { publicProcedure, router, sessionProcedure } from '../../kernel/procedures.ts'
import { login, logout, logoutAll, register } from './auth.service.ts'

const tags = ['auth']

export const authRouter = router({
  register: publicProcedure
    .meta({
      status: 201,
      openapi: {
        method: 'POST',
        path: '/v1/auth/register',
        tags,
        summary: 'Registers an account',
        description:
          'Errors: `email_taken`, `password_too_short`, `password_too_long`, `password_too_common`, `registration_closed`. A few registrations per hour and address are taken, then `rate_limited`.',
      },
    })
    .input(RegisterInput)
    .output(Account)
    .mutation(({ ctx, input }) => register(ctx.deps, ctx, input)),

  login: publicProcedure
    .meta({
      openapi: {
        method: 'POST',
        path: '/v1/auth/login',
        tags,
        summary: 'Answers an access token for email and password',
        description:
          'The token is a JWT of one week. Errors: `invalid_credentials`, `login_throttled`.',
      },
    })
    .input(LoginInput)
    .output(AccessToken)
    .mutation(({ ctx, input }) => login(ctx.deps, ctx, input)),

  logout: sessionProcedure
    .meta({
      status: 204,
      openapi: {
        method: 'POST',
        path: '/v1/auth/logout',
        tags,
        summary: 'Ends this access token at once',
      },
    })
    .input(NoInput)
    .output(z.void())
    .mutation(({ ctx }) => logout(ctx.deps, ctx.principal)),

  logout_all: sessionProcedure
    .meta({
      status: 204,
      openapi: {
        method: 'POST',
        path: '/v1/auth/logout_all',
        tags,
        summary: 'Ends every access token of the account at once',
      },
    })
    .input(NoInput)
    .output(z.void())
    .mutation(({ ctx }) => logoutAll(ctx.deps, ctx.principal)),
})
