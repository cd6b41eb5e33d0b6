import type { Webhook } from '@nanobanana/shared'

/** Somebody with an account, and a key that calls the provider. */
export interface Person {
  readonly url: string
  readonly token: string
  readonly key: string
}

/** Registers somebody; the limit of the key is never met. */
export async function register(url: string, name: string): Promise<Person> {
  const account = { email: `${name}@example.com`, password: 'correct horse battery' }
  await post(url, '/v1/auth/register', account)
  const { access_token: token } = await post(url, '/v1/auth/login', account)
  const limited = { name, mode: 'live', monthly_limit_usd: 10_000 }
  const { key } = await post(url, '/v1/keys', limited, token)
  return { url, token, key }
}

export const createWebhook = (
  { url, token }: Person,
  address: string,
  events: readonly string[],
): Promise<Webhook & { secret: string }> =>
  post(url, '/v1/webhooks', { url: address, events }, token)

// What is read of an answer is there, or the run ends.
// oxlint-disable-next-line typescript/no-explicit-any
async function post(url: string, path: string, body: unknown, token?: string): Promise<any> {
  const response = await fetch(url + path, {
    method: 'POST',
    headers: {
      'content-type': 'application/json',
      ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
    },
    body: JSON.stringify(body),
  })
  const text = await response.text()
  if (!response.ok) throw new Error(`${path} answers ${response.status} ${text}`)
  return JSON.parse(text)
}
