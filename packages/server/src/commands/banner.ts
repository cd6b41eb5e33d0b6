import type { Config } from '../config.ts'
import type { Print } from './io.ts'

/** The four lines of the README, for this address: each is one line and can be pasted as it is. */
export function curlLines(url: string): string[] {
  const curl = `curl -sS -w '%{stderr}%{http_code}\\n' -H 'content-type: application/json' ${url}`
  const account = `-d '{"email":"you@example.com","password":"correct horse battery"}'`
  return [
    `${curl}/v1/auth/register ${account}`,
    `TOKEN=$(${curl}/v1/auth/login ${account} | sed 's/.*"access_token":"\\([^"]*\\)".*/\\1/')`,
    `KEY=$(${curl}/v1/keys -H "authorization: Bearer $TOKEN" -d '{"name":"first","mode":"test"}' | sed 's/.*"key":"\\([^"]*\\)".*/\\1/')`,
    `${curl}/v1/generate -H "authorization: Bearer $KEY" -d '{"prompt":"a banana astronaut"}'`,
  ]
}

/** What a newcomer needs to see once the port is open. */
export function printBanner(config: Config, url: string, print: Print): void {
  const live = config.provider.geminiApiKey !== undefined
  print(`NanoBanana listens on ${url}`)
  print(`Reference: ${url}/docs   Data: ${config.dataDir}   Images: ${config.storage.kind}`)
  print(
    live
      ? 'Live keys (nb_live_…) call Gemini; test keys (nb_test_…) are free.'
      : 'Set GEMINI_API_KEY for live keys; test keys (nb_test_…) work without it.',
  )
  print('')
  print('Register, log in, create a key, make a picture (answers 201, 200, 201, 200):')
  print('')
  for (const line of curlLines(url)) print(`${line}\n`)
}
