import { createHash } from 'node:crypto'
import { brotliDecompressSync, gunzipSync } from 'node:zlib'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { createTestApp, type TestApp } from '../../test/harness.ts'

let app: TestApp
beforeAll(async () => {
  app = await createTestApp()
})
afterAll(() => app[Symbol.asyncDispose]())

const ASSETS = {
  'swagger-ui.css': 'text/css; charset=utf-8',
  'swagger-ui.js': 'text/javascript; charset=utf-8',
  'page.css': 'text/css; charset=utf-8',
  'page.js': 'text/javascript; charset=utf-8',
  'icon.svg': 'image/svg+xml',
}

const pageLinks = async () => {
  const { text } = await app.request('GET', '/docs')
  return [...text.matchAll(/(?:href|src)="([^"]*)"/g)].map(([, address = '']) => address)
}

describe('the reference page', () => {
  it('answers with a policy of its own', async () => {
    const page = await app.request('GET', '/docs')
    expect(page.status).toBe(200)
    expect(page.headers).toMatchObject({
      'content-type': 'text/html; charset=utf-8',
      'cache-control': 'no-cache',
      'x-content-type-options': 'nosniff',
      'referrer-policy': 'no-referrer',
      'cross-origin-resource-policy': 'same-origin',
      'cross-origin-opener-policy': 'same-origin',
    })
    const policy = page.headers['content-security-policy']!
    expect(policy.split('; ')).toEqual([
      "default-src 'none'",
      "script-src 'self'",
      "style-src 'self'",
      "img-src 'self' data: blob:",
      "connect-src 'self'",
      "base-uri 'none'",
      "form-action 'none'",
      "frame-ancestors 'none'",
    ])
  })

  it('names nothing outside the service and has nothing inline', async () => {
    const { text } = await app.request('GET', '/docs')
    expect(text).not.toMatch(/https?:|["'(]\/\//)
    expect(text).not.toMatch(/<style|\sstyle=|\son\w+=/)
    expect([...text.matchAll(/<script[^>]*>([^<]*)/g)].map(([, inline]) => inline)).toEqual([
      '',
      '',
    ])
    for (const own of ['page.js', 'page.css', 'icon.svg']) {
      const { text } = await app.request('GET', `/docs/${own}`)
      expect(text.replaceAll('http://www.w3.org/2000/svg', '')).not.toMatch(/https?:|url\(/)
    }
  })

  it('links relatively, so that a proxy may take a prefix away', async () => {
    const links = await pageLinks()
    expect(links).toContain('openapi.json')
    const paths = links.map((link) => new URL(link, 'https://x.example/api/docs').pathname)
    expect(paths.filter((path) => !path.startsWith('/api/'))).toEqual([])
    for (const link of links) {
      expect((await app.request('GET', `/${link}`)).status).toBe(200)
    }
  })

  it('sends a trailing slash away, relatively', async () => {
    const response = await app.request('GET', '/docs/')
    expect(response.status).toBe(308)
    expect(response.headers['location']).toBe('../docs')
  })

  it('asks for no query and tries where it came from', async () => {
    const { text } = await app.request('GET', '/docs/page.js')
    expect(text).toContain('queryConfigEnabled: false')
    expect(text).toContain('validatorUrl: null')
    expect(text).toContain('persistAuthorization: false')
    expect(text).toContain("new URL('.', location.href)")
  })
})

describe('the assets', () => {
  it.each(Object.entries(ASSETS))(
    '%s has its type, and is kept for its version',
    async (name, type) => {
      const link = (await pageLinks()).find((address) => address.startsWith(`docs/${name}?`))!
      const asset = await app.request('GET', `/${link}`)
      expect(asset.headers).toMatchObject({
        'content-type': type,
        'x-content-type-options': 'nosniff',
        'content-security-policy': "default-src 'none'; frame-ancestors 'none'; sandbox",
        'cache-control': 'public, max-age=31536000, immutable',
        vary: 'accept-encoding',
      })
      const hash = createHash('sha256').update(asset.bytes).digest('base64url')
      expect(link).toBe(`docs/${name}?v=${hash.slice(0, 16)}`)
    },
  )

  it('are asked about again under an address of no or another version', async () => {
    for (const query of ['', '?v=older']) {
      const asset = await app.request('GET', `/docs/page.js${query}`)
      expect(asset.headers['cache-control']).toBe('no-cache')
    }
  })

  it.each([
    ['gzip, deflate, br, zstd', 'br', brotliDecompressSync],
    ['gzip', 'gzip', gunzipSync],
    ['br;q=0, gzip;q=0.5', 'gzip', gunzipSync],
    ['identity', undefined, (bytes: Buffer) => bytes],
    [undefined, undefined, (bytes: Buffer) => bytes],
  ])('go out as asked: %s', async (accepted, encoding, decode) => {
    const headers = accepted === undefined ? undefined : { 'accept-encoding': accepted }
    const plain = await app.request('GET', '/docs/swagger-ui.js')
    const asset = await app.request('GET', '/docs/swagger-ui.js', { headers })
    expect(asset.headers['content-encoding']).toBe(encoding)
    expect(decode(asset.bytes).equals(plain.bytes)).toBe(true)
    expect(asset.bytes.length).toBeLessThan(encoding === undefined ? 2e6 : 500e3)
    expect(asset.headers['content-length']).toBe(String(asset.bytes.length))
  })

  it.each(['/docs', '/docs/swagger-ui.js'])(
    '%s answers 304 to its own ETag alone',
    async (path) => {
      const get = (headers: Record<string, string>) => app.request('GET', path, { headers })
      const { etag } = (await get({ 'accept-encoding': 'br' })).headers
      const again = await get({ 'accept-encoding': 'br', 'if-none-match': `"other", W/${etag}` })
      expect([again.status, again.bytes.length, again.headers['etag']]).toEqual([304, 0, etag])
      // Another encoding is other bytes.
      expect((await get({ 'accept-encoding': 'gzip', 'if-none-match': etag! })).status).toBe(200)
      expect((await get({ 'if-none-match': '"other"' })).status).toBe(200)
    },
  )

  it('answer HEAD without bytes', async () => {
    const head = await app.request('HEAD', '/docs/swagger-ui.css')
    expect([head.status, head.bytes.length]).toEqual([200, 0])
    expect(Number(head.headers['content-length'])).toBeGreaterThan(100e3)
  })

  it.each([
    '/docs/package.json',
    '/docs/swagger-ui.js.map',
    '/docs/../../package.json',
    '/docs/..%2fpackage.json',
    '/docs/%2e%2e/%2e%2e/package.json',
    '/docs/swagger-ui-dist/package.json',
    '/docs//etc/passwd',
    '/docs/page.js%00.css',
    '/docs/__proto__',
  ])('reach no other file: %s', async (path) => {
    const response = await app.request('GET', path)
    expect(response.status).toBe(404)
    expect(response.json.error.code).toBe('route_not_found')
  })
})

describe('DOCS=false', () => {
  it('hides the page and its assets, not the document', async () => {
    await using hidden = await createTestApp({ env: { DOCS: 'false' } })
    for (const path of ['/docs', '/docs/', ...Object.keys(ASSETS).map((name) => `/docs/${name}`)]) {
      const response = await hidden.request('GET', path)
      expect([response.status, response.json.error.code]).toEqual([404, 'route_not_found'])
    }
    expect((await hidden.request('GET', '/openapi.json')).status).toBe(200)
  })
})

describe('the document', () => {
  it('is OpenAPI 3.1 as JSON', async () => {
    const response = await app.request('GET', '/openapi.json')
    expect(response.headers['content-type']).toBe('application/json; charset=utf-8')
    expect(response.json.openapi).toMatch(/^3\.1\./)
    expect(Object.keys(response.json.paths)).toContain('/v1/generate')
  })
})
