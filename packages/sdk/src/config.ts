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
  /** Milliseconds for one attempt, `Infinity` for no bound. Default 300 000: a picture takes its time. */
  timeoutMs?: number | undefined
}

/** Checked options. */
export interface Config {
  readonly apiKey: string | undefined
  /** Without a slash at its end. */
  readonly baseUrl: string
  readonly fetch: Fetch
  readonly timeoutMs: number
}

const DEFAULT_BASE_URL = 'http://127.0.0.1:3000'
/** Above the service's own bound of 290 s: giving up first would leave a paid picture behind. */
const DEFAULT_TIMEOUT_MS = 300_000

export function readConfig(options: ClientOptions): Config {
  return {
    apiKey: checkApiKey(options.apiKey ?? fromEnvironment('NANOBANANA_API_KEY')),
    baseUrl: checkBaseUrl(
      options.baseUrl ?? fromEnvironment('NANOBANANA_BASE_URL') ?? DEFAULT_BASE_URL,
    ),
    fetch: options.fetch ?? ((url, init) => globalThis.fetch(url, init)),
    timeoutMs: checkTimeout(options.timeoutMs ?? DEFAULT_TIMEOUT_MS),
  }
}

// Browsers and some edge runtimes have no process.
interface MaybeNode {
  process?: { env?: Record<string, string | undefined> }
}

/** An empty variable counts as none. */
function fromEnvironment(name: string): string | undefined {
  const value = (globalThis as MaybeNode).process?.env?.[name]?.trim()
  return value === '' ? undefined : value
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

export function checkTimeout(timeoutMs: number): number {
  if (timeoutMs > 0) return timeoutMs
  throw new TypeError('timeoutMs is not a positive number')
}
