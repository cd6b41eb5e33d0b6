import { accountsRouter } from './features/accounts/accounts.router.ts'
import { authRouter } from './features/auth/auth.router.ts'
import {
  generateProcedure,
  generationsRouter,
  modelsRouter,
} from './features/generations/generations.router.ts'
import { keysRouter } from './features/keys/keys.router.ts'
import { usageRouter } from './features/usage/usage.router.ts'
import { webhooksRouter } from './features/webhooks/webhooks.router.ts'
import { mergeRouters, router } from './kernel/procedures.ts'

/** Everything the service does, defined once; served as tRPC, as REST and in the OpenAPI document. */
export const appRouter = router({
  auth: mergeRouters(authRouter, accountsRouter),
  keys: keysRouter,
  generate: generateProcedure,
  generations: generationsRouter,
  models: modelsRouter,
  usage: usageRouter,
  webhooks: webhooksRouter,
})
export type AppRouter = typeof appRouter
