/** The part of `fetch` that is used. */
export type Fetch = (url: string, init: RequestInit) => Promise<Response>

export interface ClientOptions {
  /**
   * API key (`nb_live_…`, `nb_test_…`) or access token of `auth.login`. Default: the environment's
   * `NANOBANANA_API_KEY`. Without one only `auth.register` and `auth.login` can be called.
   */
  apiKey?: string | undefined
  /**
   * Address of the service. Default: the environment's `NANOBANANA_BASE_URL`, else
   * `http://127.0.0.1:3000`.
   */
  baseUrl?: string | undefined
  /** Sends the requests. Default: the global `fetch`. */
  fetch?: Fetch | undefined
  /** Milliseconds for one attempt, `Infinity` for no bound. Default 120 000. */
  timeoutMs?: number | undefined
  /**
   * Milliseconds for a call with all its attempts, and until a generation has ended; `Infinity` for
   * no bound. Default 600 000.
   */
  totalTimeoutMs?: number | undefined
  /** How often a request that failed in a way that may pass is sent again. Default 4. */
  maxRetries?: number | undefined
  /**
   * Lets the client run with an API key in a browser, where every visitor can read the key.
   * Default false.
   */
  dangerouslyAllowBrowser?: boolean | undefined
}

/** Checked options. */
export interface Config {
  readonly apiKey: string | undefined
  /** Without a slash at its end. */
  readonly baseUrl: string
  readonly fetch: Fetch
  readonly timeoutMs: number
  readonly totalTimeoutMs: number
  readonly maxRetries: number
}

const DEFAULT_BASE_URL = 'http://127.0.0.1:3000'
/** Above the 90 s for which the service holds a request at the most. */
const DEFAULT_TIMEOUT_MS = 120_000
/** Above the service's own bound of 290 s: giving up first would leave a paid picture behind. */
const DEFAULT_TOTAL_TIMEOUT_MS = 600_000
const DEFAULT_MAX_RETRIES = 4

export function readConfig(options: ClientOptions): Config {
  const apiKey = checkApiKey(options.apiKey ?? fromEnvironment('NANOBANANA_API_KEY'))
  if (apiKey?.startsWith('nb_') && options.dangerouslyAllowBrowser !== true) refuseBrowser()
  return {
    apiKey,
    baseUrl: checkBaseUrl(
      options.baseUrl ?? fromEnvironment('NANOBANANA_BASE_URL') ?? DEFAULT_BASE_URL,
    ),
    fetch: options.fetch ?? ((url, init) => globalThis.fetch(url, init)),
    timeoutMs: checkTimeout(options.timeoutMs ?? DEFAULT_TIMEOUT_MS, 'timeoutMs'),
    totalTimeoutMs: checkTimeout(
      options.totalTimeoutMs ?? DEFAULT_TOTAL_TIMEOUT_MS,
      'totalTimeoutMs',
    ),
    maxRetries: checkRetries(options.maxRetries ?? DEFAULT_MAX_RETRIES),
  }
}

export const credentialOf = ({ apiKey }: Config): Record<string, string> =>
  apiKey === undefined ? {} : { authorization: `Bearer ${apiKey}` }

// Browsers and some edge runtimes have no process, servers no document.
interface Runtime {
  process?: { env?: Record<string, string | undefined> }
  window?: unknown
  document?: unknown
}

/** An empty variable counts as none. */
function fromEnvironment(name: string): string | undefined {
  const value = (globalThis as Runtime).process?.env?.[name]?.trim()
  return value === '' ? undefined : value
}

function refuseBrowser(): void {
  const { window, document } = globalThis as Runtime
  if (window === undefined || document === undefined) return
  throw new TypeError(
    'An API key in a browser can be read by every visitor. Call the service from a server, or set dangerouslyAllowBrowser: true.',
  )
}

function checkApiKey(apiKey: string | undefined): string | undefined {
  if (apiKey === undefined || /^[\x21-\x7e]+$/.test(apiKey)) return apiKey
  throw new TypeError('apiKey is empty or has characters that no key has')
}

function checkBaseUrl(baseUrl: string): string {
  if (!URL.canParse(baseUrl)) throw new TypeError(`baseUrl is no URL: ${baseUrl}`)
  const { protocol, origin, pathname, username, password, search, hash } = new URL(baseUrl)
  if (protocol !== 'http:' && protocol !== 'https:') {
    throw new TypeError('baseUrl is neither http nor https')
  }
  if (`${username}${password}${search}${hash}` !== '') {
    throw new TypeError('baseUrl has more than an origin and a path')
  }
  return origin + pathname.replace(/\/+$/, '')
}

export function checkTimeout(ms: number, name: string): number {
  if (ms > 0) return ms
  throw new TypeError(`${name} is not a positive number`)
}

export function checkRetries(maxRetries: number): number {
  if (Number.isInteger(maxRetries) && maxRetries >= 0) return maxRetries
  throw new TypeError('maxRetries is not a whole number of 0 or more')
}
