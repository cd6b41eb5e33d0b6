// Written by scripts/generate.ts from the router; `pnpm generate` writes it anew.

import type { Requests } from '../request.ts'
import type { Api } from './api.ts'

/** The methods over one way of sending requests. */
export const createApi = ({ request, list }: Requests): Omit<Api, 'generate'> => ({
  auth: {
    register: (input, options) => request('mutation', 'auth.register', input, options),
    login: (input, options) => request('mutation', 'auth.login', input, options),
    logout: (options) => request('mutation', 'auth.logout', {}, options),
    logoutAll: (options) => request('mutation', 'auth.logout_all', {}, options),
    me: (options) => request('query', 'auth.me', {}, options),
    password: (input, options) => request('mutation', 'auth.password', input, options),
    deleteAccount: (input, options) => request('mutation', 'auth.delete_account', input, options),
  },
  keys: {
    create: (input, options) => request('mutation', 'keys.create', input, options),
    list: (input, options) => list('keys.list', input ?? {}, options),
    get: (input, options) => request('query', 'keys.get', input, options),
    update: (input, options) => request('mutation', 'keys.update', input, options),
    revoke: (input, options) => request('mutation', 'keys.revoke', input, options),
    rotate: (input, options) => request('mutation', 'keys.rotate', input, options),
  },
  generations: {
    list: (input, options) => list('generations.list', input ?? {}, options),
    get: (input, options) => request('query', 'generations.get', input, options),
    cancel: (input, options) => request('mutation', 'generations.cancel', input, options),
    delete: (input, options) => request('mutation', 'generations.delete', input, options),
  },
  models: {
    list: (options) => request('query', 'models.list', {}, options),
  },
  usage: {
    get: (input, options) => request('query', 'usage.get', input ?? {}, options),
  },
  webhooks: {
    create: (input, options) => request('mutation', 'webhooks.create', input, options),
    list: (input, options) => list('webhooks.list', input ?? {}, options),
    get: (input, options) => request('query', 'webhooks.get', input, options),
    update: (input, options) => request('mutation', 'webhooks.update', input, options),
    delete: (input, options) => request('mutation', 'webhooks.delete', input, options),
    rotateSecret: (input, options) => request('mutation', 'webhooks.rotate_secret', input, options),
    test: (input, options) => request('mutation', 'webhooks.test', input, options),
    deliveries: (input, options) => list('webhooks.deliveries', input, options),
    redeliver: (input, options) => request('mutation', 'webhooks.redeliver', input, options),
  },
})
