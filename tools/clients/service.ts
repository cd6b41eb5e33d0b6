import { noise } from '../../packages/server/test/pictures.ts'
import type { Account, TestApp } from '../../packages/server/test/harness.ts'
import { createWorld } from '../../packages/server/test/world.ts'
import { ProviderError } from '../../packages/server/src/ports/image-provider.ts'
import type { ImageProvider } from '../../packages/server/src/ports/image-provider.ts'

export interface Served extends AsyncDisposable {
  readonly app: TestApp
  readonly account: Account
  /** What a client of OpenAI takes as its base URL. */
  readonly baseURL: string
  /** Of mode live. */
  readonly key: string
  /** Requests to a path that were answered. */
  countOf(path: string): number
}

/** The service on loopback; its provider fails as a prompt like `fail: content_blocked` says. */
export async function serve(env: Record<string, string> = {}): Promise<Served> {
  const live = await createObedientProvider()
  const app = await createWorld({
    providers: { live },
    env: { OPENAI_MODEL_MAP: 'gpt-image-1=default,dall-e-3=nano-banana-2', PUBLIC_URL: '', ...env },
  })
  const account = await app.register()
  const { key } = await app.createKey(account, { mode: 'live' })
  return {
    app,
    account,
    baseURL: `${await app.listen()}/v1`,
    key,
    countOf: (path) =>
      app.logs.filter((line) => line['msg'] === 'request' && line['path'] === path).length,
    [Symbol.asyncDispose]: () => app[Symbol.asyncDispose](),
  }
}

async function createObedientProvider(): Promise<ImageProvider> {
  const bytes = new Uint8Array(await noise(64, 64).jpeg().toBuffer())
  const usage = { inputTokens: 4, textOutputTokens: 100, imageOutputTokens: 747 }
  return {
    async generate({ prompt }) {
      const [, code] = /fail: (\w+)/.exec(prompt) ?? []
      if (code === undefined) return { bytes, text: null, usage }
      throw new ProviderError(code as ProviderError['code'], `as the prompt asked: ${code}`, {
        retryAfterMs: 10,
      })
    },
  }
}
