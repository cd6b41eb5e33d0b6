/** Registers somebody and creates a key that calls the provider, with a limit that is never met. */
export async function createKey(url: string): Promise<string> {
  const post = async (path: string, body: unknown, token?: string) => {
    const response = await fetch(url + path, {
      method: 'POST',
      headers: {
        'content-type': 'application/json',
        ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
      },
      body: JSON.stringify(body),
    })
    // oxlint-disable-next-line typescript/no-explicit-any
    return (await response.json()) as any
  }
  const account = { email: 'crash@example.com', password: 'correct horse battery' }
  await post('/v1/auth/register', account)
  const { access_token: token } = await post('/v1/auth/login', account)
  const limited = { name: 'crash', mode: 'live', monthly_limit_usd: 1000 }
  return (await post('/v1/keys', limited, token)).key
}
