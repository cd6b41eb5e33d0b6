import type { Config } from './types.ts'

/** What an operator should read at each start; none of it stops the start. */
export const bootWarnings = (config: Config): string[] =>
  RULES.filter(([applies]) => applies(config)).map(([, line]) => line)

const RULES: readonly (readonly [(config: Config) => boolean, string])[] = [
  [
    ({ server, auth, provider, limits }) =>
      auth.registration === 'open' &&
      provider.geminiApiKey !== undefined &&
      !isLoopback(server.host) &&
      limits.monthlyLimitMicros === undefined,
    'Strangers can spend your money: registration is open, the provider is live and HOST is not ' +
      'loopback. Set REGISTRATION=closed or token, or DEFAULT_MONTHLY_LIMIT_USD for each account.',
  ],
  [
    ({ server }) => !isLoopback(server.host) && server.publicUrl === undefined,
    'PUBLIC_URL is unset, so image addresses name the address listened on, which others may not reach.',
  ],
  [
    ({ server }) => server.publicUrl !== undefined && server.trustProxy.length === 0,
    'PUBLIC_URL is set and TRUST_PROXY is not: behind a proxy all callers share its address and its limits.',
  ],
  [
    ({ database, limits }) => database.url !== undefined && limits.store === 'memory',
    'RATE_LIMIT_STORE=memory counts in this process only: several instances allow several times the limits.',
  ],
  [
    ({ webhooks }) => webhooks.allowPrivate,
    'WEBHOOK_ALLOW_PRIVATE=true lets every account reach private addresses from here; for development only.',
  ],
  [
    ({ server, provider }) => server.drainTimeoutMs < provider.totalTimeoutMs,
    'DRAIN_TIMEOUT is shorter than UPSTREAM_TIMEOUT: a stop may cut off a running generation.',
  ],
]

const isLoopback = (host: string) =>
  host.startsWith('127.') || host === '::1' || host.toLowerCase().startsWith('::ffff:127.')
