import { ERRORS, type Scope } from '@nanobanana/shared'
import { initTRPC, type TRPCError, type TRPC_ERROR_CODE_KEY } from '@trpc/server'
import type { OpenApiMeta } from 'trpc-to-openapi'
import { ZodError } from 'zod'
import { AppError, fromZod, toAppError } from './app-error.ts'
import type { Context } from './context.ts'
import type { KeyPrincipal, SessionPrincipal } from './principal.ts'

/** Who may call: nobody is let in by a procedure that does not say. */
export type Policy =
  | { readonly kind: 'public' }
  /** An access token only. */
  | { readonly kind: 'session' }
  /** An access token, or a key that has the scope. */
  | { readonly kind: 'scope'; readonly scope: Scope }

export type Meta = OpenApiMeta<{
  policy?: Policy
  /** Status of a success over REST; 200 when absent. */
  status?: 200 | 201 | 204
  /** Whether requests may bring images: then the body may be large, or a form. */
  takesUploads?: true
  /** Whether it answers a generation, whose events may be asked for in its place. */
  tellsEvents?: true
}>

const t = initTRPC
  .context<Context>()
  .meta<Meta>()
  .create({
    // Explicit, not by NODE_ENV: otherwise errors carry stack traces.
    isDev: false,
    errorFormatter: ({ shape, error, ctx }) => {
      const body = appErrorOf(error).toBody(ctx?.requestId ?? '')
      return {
        message: body.message,
        code: shape.code,
        data: { ...shape.data, httpStatus: ERRORS[body.code].status, error: body },
      }
    },
  })

export const router = t.router
export const mergeRouters = t.mergeRouters

/** Each call of a batch is counted, whoever may call it. */
const countedProcedure = t.procedure.use(({ ctx, batchIndex, next }) => {
  ctx.admit(batchIndex)
  return next()
})

/** Anyone may call. */
export const publicProcedure = countedProcedure.meta({ policy: { kind: 'public' } })

/** Accounts, keys and webhooks are managed with an access token. */
export const sessionProcedure = countedProcedure
  .meta({ policy: { kind: 'session' } })
  .use(async ({ ctx, next }) => {
    const principal = await ctx.authenticate()
    if (principal.kind === 'key') throw new AppError('session_required')
    return next({ ctx: { principal: principal satisfies SessionPrincipal } })
  })

/** An access token, or a key with the scope. */
export const scopedProcedure = (scope: Scope) =>
  countedProcedure.meta({ policy: { kind: 'scope', scope } }).use(async ({ ctx, next }) => {
    const principal = await ctx.authenticate()
    if (principal.kind === 'key') requireScope(principal, scope)
    return next({ ctx: { principal } })
  })

/** The same rule for routes that are no procedures. */
export function requireScope(principal: KeyPrincipal, scope: Scope): void {
  if (principal.scopes.includes(scope)) return
  throw new AppError('insufficient_scope', `The API key lacks the scope "${scope}".`)
}

const TRPC_CODES: Partial<Record<TRPC_ERROR_CODE_KEY, () => AppError>> = {
  PARSE_ERROR: () => new AppError('invalid_json'),
  BAD_REQUEST: () => new AppError('invalid_input'),
  NOT_FOUND: () => new AppError('route_not_found'),
  METHOD_NOT_SUPPORTED: () => new AppError('method_not_allowed'),
  PAYLOAD_TOO_LARGE: () => new AppError('payload_too_large'),
  UNSUPPORTED_MEDIA_TYPE: () => new AppError('unsupported_media_type'),
}

/** The row of our table for anything tRPC reports. */
export function appErrorOf(error: TRPCError): AppError {
  const { cause } = error
  if (cause instanceof AppError) return cause
  if (error.code === 'BAD_REQUEST' && cause instanceof ZodError) return fromZod(cause)
  // tRPC wraps what a procedure threw; its own errors stand alone or wrap a parser's.
  if (cause !== undefined && error.code === 'INTERNAL_SERVER_ERROR') return toAppError(cause)
  return TRPC_CODES[error.code]?.() ?? new AppError('internal', undefined, { cause: error })
}
