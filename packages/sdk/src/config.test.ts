import { afterEach, expect, test, vi } from 'vitest'
import { readConfig } from './config.ts'

afterEach(() => {
  vi.unstubAllEnvs()
  vi.unstubAllGlobals()
})

test('reads the environment where an option is missing', () => {
  vi.stubEnv('NANOBANANA_API_KEY', ' nb_test_1\n')
  vi.stubEnv('NANOBANANA_BASE_URL', 'https://example.com/')
  expect(readConfig({})).toMatchObject({ apiKey: 'nb_test_1', baseUrl: 'https://example.com' })
  expect(readConfig({ apiKey: 'nb_test_2', baseUrl: 'http://localhost:1' })).toMatchObject({
    apiKey: 'nb_test_2',
    baseUrl: 'http://localhost:1',
  })
})

test('an empty variable counts as none', () => {
  vi.stubEnv('NANOBANANA_API_KEY', '')
  vi.stubEnv('NANOBANANA_BASE_URL', '')
  expect(readConfig({})).toMatchObject({ apiKey: undefined, baseUrl: 'http://127.0.0.1:3000' })
})

test('needs no process', () => {
  vi.stubGlobal('process', undefined)
  const config = readConfig({})
  vi.unstubAllGlobals()
  expect(config).toMatchObject({ apiKey: undefined, timeoutMs: 120_000, totalTimeoutMs: 600_000 })
})

test.each(['', 'nb_live_a\n', 'nb_live_…', 'two words'])('refuses the API key %j', (apiKey) => {
  expect(() => readConfig({ apiKey })).toThrow(TypeError)
})

test('an API key that is refused is not in the message', () => {
  expect(() => readConfig({ apiKey: 'nb_live_secret\n' })).toThrow(/^(?!.*secret)/)
})

test.each([
  'localhost:3000',
  '127.0.0.1:3000',
  '/v1',
  'ftp://example.com',
  'https://me:secret@example.com',
  'https://example.com/?a=b',
  'https://example.com/#a',
])('refuses the base URL %j', (baseUrl) => {
  expect(() => readConfig({ baseUrl })).toThrow(TypeError)
})

test.each([0, -5, Number.NaN])('refuses a timeout of %d', (timeoutMs) => {
  expect(() => readConfig({ timeoutMs })).toThrow(TypeError)
})

test('refuses an API key in a browser, unless told that it is meant', () => {
  vi.stubGlobal('window', {})
  vi.stubGlobal('document', {})
  expect(() => readConfig({ apiKey: 'nb_live_1' })).toThrow(/dangerouslyAllowBrowser/)
  expect(() => readConfig({ apiKey: 'nb_test_1' })).toThrow(TypeError)
  expect(readConfig({ apiKey: 'nb_live_1', dangerouslyAllowBrowser: true })).toMatchObject({
    apiKey: 'nb_live_1',
  })
  // An access token is the visitor's own, and ends.
  expect(readConfig({ apiKey: 'eyJhbGciOiJIUzI1NiJ9.e30.x' }).apiKey).toMatch(/^eyJ/)
  vi.stubGlobal('document', undefined)
  expect(readConfig({ apiKey: 'nb_live_1' }).apiKey).toBe('nb_live_1')
})
