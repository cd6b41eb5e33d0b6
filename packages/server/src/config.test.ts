import { readFileSync } from 'node:fs'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { inspect } from 'node:util'
import { readModels } from '@nanobanana/shared'
import { afterAll, beforeAll, describe, expect, onTestFinished, test, vi } from 'vitest'
import { runCommand } from './commands/run.ts'
import { bootWarnings, BootError, ConfigError, loadConfig, type Config } from './config.ts'
import { FIELDS, NAMES, SECRET_NAMES, type Name } from './config/environment.ts'

const SECRET = 'f3a1c9d27b6e40588d1f02c7a9b4e6130f5d8c2b7a6e9143'
const OTHER_SECRET = '0b7e2d94c1a8f6537e90d4b2c6a1f8350e7b9d2c4a6f8013'
const POSTGRES = { DATABASE_URL: 'postgres://u:p@db:5432/n', JWT_SECRET: SECRET }

const problemsOf = (env: Record<string, string | undefined>): readonly string[] => {
  try {
    loadConfig(env)
    return []
  } catch (error) {
    if (error instanceof ConfigError) return error.problems
    throw error
  }
}

describe('defaults', () => {
  test('an empty environment gives the documented defaults', () => {
    const config = loadConfig({})
    expect(config.server).toMatchObject({
      host: '127.0.0.1',
      port: 3000,
      docs: true,
      trustProxy: [],
    })
    expect(config.server).toMatchObject({ drainDelayMs: 5000, drainTimeoutMs: 300_000 })
    expect(config.server.publicUrl).toBeUndefined()
    expect(config.dataDir).toBe('.nanobanana')
    expect(config.database).toEqual({ url: undefined, directUrl: undefined })
    expect(config.auth).toMatchObject({
      registration: 'open',
      passwordMinLength: 8,
      bcryptCost: 12,
    })
    expect(config.auth.jwtSecrets).toBeUndefined()
    expect(config.provider).toMatchObject({ attemptTimeoutMs: 180_000, totalTimeoutMs: 290_000 })
    expect(config.storage).toEqual({ kind: 'inline' })
    expect(config.images).toEqual({
      urlTtlSeconds: 3600,
      inlineRetentionSeconds: 86_400,
      maxUploadBytes: 33_554_432,
      spoolMaxBytes: 1_073_741_824,
    })
    expect(config.jobs).toEqual({
      syncTimeoutMs: 90_000,
      workers: 4,
      queueMax: 1000,
      queueMaxPerAccount: 100,
      leaseMs: 30_000,
    })
    expect(config.limits).toEqual({
      keyRequestsPerMinute: 60,
      keyConcurrency: 8,
      ipRequestsPerMinute: 300,
      accountRequestsPerMinute: 300,
      loginsPerMinute: 20,
      registrationsPerHour: 5,
      store: 'memory',
      monthlyLimitMicros: undefined,
    })
    expect(config.webhooks.allowPrivate).toBe(false)
    expect(config.log.level).toBe('info')
  })

  test('an empty or blank value counts as unset', () => {
    const blank = Object.fromEntries(NAMES.map((name, index) => [name, index % 2 ? '' : '  ']))
    expect(loadConfig(blank)).toEqual(loadConfig({}))
  })

  test('the config is frozen all through', () => {
    const visit = (value: unknown): void => {
      if (typeof value !== 'object' || value === null) return
      expect(Object.isFrozen(value)).toBe(true)
      Object.values(value).forEach(visit)
    }
    visit(loadConfig({ ...POSTGRES, TRUST_PROXY: '10.0.0.0/8' }))
  })

  test('reads the size of the thread pool as libuv does', () => {
    const size = (text?: string) => loadConfig({ UV_THREADPOOL_SIZE: text }).server.threadPoolSize
    expect([size(), size('16'), size('0'), size('x'), size('9999')]).toEqual([4, 16, 1, 1, 1024])
  })
})

const good: [Name, string, (config: Config) => unknown, unknown][] = [
  ['HOST', '::1', (c) => c.server.host, '::1'],
  ['PORT', '0', (c) => c.server.port, 0],
  ['PUBLIC_URL', 'https://x.example/api/', (c) => c.server.publicUrl, 'https://x.example/api'],
  ['TRUST_PROXY', '10.0.0.0/8, ::1', (c) => c.server.trustProxy, ['10.0.0.0/8', '::1']],
  ['CORS_ORIGINS', 'http://localhost:5173', (c) => c.server.corsOrigins, ['http://localhost:5173']],
  ['DOCS', 'false', (c) => c.server.docs, false],
  ['DRAIN_DELAY', '0', (c) => c.server.drainDelayMs, 0],
  ['SYNC_TIMEOUT', '90s', (c) => c.jobs.syncTimeoutMs, 90_000],
  ['SYNC_TIMEOUT', '5m', (c) => c.jobs.syncTimeoutMs, 300_000],
  ['URL_TTL', '7d', (c) => c.images.urlTtlSeconds, 604_800],
  ['INLINE_RETENTION', '24h', (c) => c.images.inlineRetentionSeconds, 86_400],
  ['MAX_UPLOAD_BYTES', '75MB', (c) => c.images.maxUploadBytes, 75_000_000],
  ['SPOOL_MAX_BYTES', '0', (c) => c.images.spoolMaxBytes, 0],
  ['MAX_UPLOAD_BYTES', '1048576', (c) => c.images.maxUploadBytes, 1_048_576],
  ['DEFAULT_MONTHLY_LIMIT_USD', '12.5', (c) => c.limits.monthlyLimitMicros, 12_500_000],
  ['DEFAULT_MONTHLY_LIMIT_USD', '0.000001', (c) => c.limits.monthlyLimitMicros, 1],
  ['DEFAULT_MONTHLY_LIMIT_USD', '0', (c) => c.limits.monthlyLimitMicros, 0],
  [
    'GEMINI_API_KEY',
    ' k3y-with-space-around\n',
    (c) => c.provider.geminiApiKey,
    'k3y-with-space-around',
  ],
  ['GOOGLE_API_KEY', 'alias-key', (c) => c.provider.geminiApiKey, 'alias-key'],
  [
    'GEMINI_BASE_URL',
    'http://127.0.0.1:9/p/',
    (c) => c.provider.geminiBaseUrl,
    'http://127.0.0.1:9/p',
  ],
  ['UPSTREAM_TIMEOUT', '60', (c) => c.provider.attemptTimeoutMs, 60_000],
  ['JWT_SECRET', `${SECRET}, ${OTHER_SECRET}`, (c) => c.auth.jwtSecrets, [SECRET, OTHER_SECRET]],
  ['PASSWORD_MIN_LENGTH', '15', (c) => c.auth.passwordMinLength, 15],
  ['WORKERS', '0', (c) => c.jobs.workers, 0],
]
test.each(good)('accepts %s=%s', (name, value, pick, expected) => {
  expect(pick(loadConfig({ [name]: value }))).toEqual(expected)
})

const bad: [Name, string][] = [
  ['HOST', 'localhost'],
  ['HOST', '300.0.0.1'],
  ['PORT', '65536'],
  ['PORT', '-1'],
  ['PORT', '3e3'],
  ['PORT', '0x10'],
  ['PUBLIC_URL', 'ftp://x.example'],
  ['PUBLIC_URL', 'https://x.example/?a=1'],
  ['PUBLIC_URL', 'https://x.example/#a'],
  ['PUBLIC_URL', 'x.example'],
  ['TRUST_PROXY', 'true'],
  ['TRUST_PROXY', '1'],
  ['TRUST_PROXY', '0.0.0.0/0'],
  ['TRUST_PROXY', '10.0.0.0/33'],
  ['TRUST_PROXY', 'loopback'],
  ['TRUST_PROXY', '10.0.0.1,*'],
  ['TRUST_PROXY', ','],
  ['CORS_ORIGINS', '*'],
  ['CORS_ORIGINS', 'null'],
  ['CORS_ORIGINS', 'https://x.example/'],
  ['CORS_ORIGINS', 'https://x.example/path'],
  ['CORS_ORIGINS', 'https://X.example'],
  ['CORS_ORIGINS', 'https://*.example'],
  ['CORS_ORIGINS', 'https://x.example:443'],
  ['CORS_ORIGINS', 'x.example'],
  ['METRICS_PORT', '70000'],
  ['DOCS', 'yes'],
  ['DRAIN_TIMEOUT', '-1'],
  ['LOG_LEVEL', 'verbose'],
  ['DATABASE_URL', 'mysql://u@h/d'],
  ['REDIS_URL', 'http://localhost'],
  ['REGISTRATION', 'maybe'],
  ['REGISTRATION_TOKEN', 'short'],
  ['PASSWORD_MIN_LENGTH', '6'],
  ['PASSWORD_MIN_LENGTH', '65'],
  ['BCRYPT_COST', '9'],
  ['BCRYPT_COST', '16'],
  ['GEMINI_API_KEY', 'two words'],
  ['GEMINI_API_KEY', 'line\nbreak'],
  ['GEMINI_BASE_URL', 'https://x.example/v1?key=1'],
  ['GEMINI_BASE_URL', 'https://x.example/#'],
  ['GEMINI_BASE_URL', 'file:///etc/passwd'],
  ['GEMINI_API_VERSION', '../v1'],
  ['OPENAI_MODEL_MAP', 'gpt-image-1'],
  ['OPENAI_MODEL_MAP', 'gpt-image-1='],
  ['OPENAI_MODEL_MAP', 'a=b=c'],
  ['OPENAI_MODEL_MAP', ','],
  ['OPENAI_MODEL_MAP', 'gpt image=default'],
  ['OPENAI_MODEL_MAP', 'dall-e-3=default,dall-e-3=nano-banana'],
  ['STORAGE', 'ftp'],
  ['R2_ACCOUNT_ID', 'evil.example/x'],
  ['URL_TTL', '8d'],
  ['URL_TTL', '0'],
  ['SYNC_TIMEOUT', '1.5'],
  ['SYNC_TIMEOUT', '90 minutes'],
  ['MAX_UPLOAD_BYTES', '76MB'],
  ['MAX_UPLOAD_BYTES', '32M'],
  ['DEFAULT_MONTHLY_LIMIT_USD', '-1'],
  ['DEFAULT_MONTHLY_LIMIT_USD', '1e9'],
  ['DEFAULT_MONTHLY_LIMIT_USD', '0.0000001'],
  ['RATE_LIMIT_RPM', '0'],
  ['RATE_LIMIT_STORE', 'disk'],
  ['WEBHOOK_ALLOW_PRIVATE', 'on'],
]
test.each(bad)('refuses %s=%s and names the variable', (name, value) => {
  expect(problemsOf({ [name]: value }).some((line) => line.startsWith(`${name} `))).toBe(true)
})

describe('faults', () => {
  test('are all listed at once, with exit code 78', () => {
    const env = { PORT: 'x', BCRYPT_COST: '4', S3_BUCKET: 'b', DATABASE_URL: 'postgres://h/d' }
    expect(problemsOf(env)).toEqual([
      'PORT must be a whole number from 0 to 65535',
      'BCRYPT_COST must be a whole number from 10 to 15',
      'S3_* is incomplete: set S3_ENDPOINT, S3_ACCESS_KEY_ID, S3_SECRET_ACCESS_KEY too',
      'JWT_SECRET is required when DATABASE_URL is set (openssl rand -hex 32)',
    ])
    expect(() => loadConfig(env)).toThrow(BootError)
    expect(new ConfigError([]).exitCode).toBe(78)
  })

  test('a weak JWT_SECRET is not also called missing', () => {
    expect(problemsOf({ ...POSTGRES, JWT_SECRET: 'short' })).toHaveLength(1)
  })

  test.each([
    [{ DATABASE_DIRECT_URL: 'postgres://h/d' }, 'DATABASE_URL is required'],
    [{ REGISTRATION: 'token' }, 'REGISTRATION_TOKEN is required'],
    [{ RATE_LIMIT_STORE: 'redis' }, 'REDIS_URL is required'],
    [{ GEMINI_API_KEY: 'one', GOOGLE_API_KEY: 'two' }, 'differ'],
    [{ METRICS_PORT: '3000' }, 'METRICS_PORT and PORT are the same'],
    [{ STORAGE: 's3' }, 'STORAGE=s3 needs'],
  ])('%o is a fault', (env, line) => {
    expect(problemsOf(env)).toEqual([expect.stringContaining(line)])
  })
})

describe('storage', () => {
  const s3 = {
    S3_ENDPOINT: 'https://s3.example',
    S3_BUCKET: 'images',
    S3_ACCESS_KEY_ID: 'id',
    S3_SECRET_ACCESS_KEY: 'key',
  }
  const r2 = {
    R2_ACCOUNT_ID: 'abc123',
    R2_BUCKET: 'images',
    R2_ACCESS_KEY_ID: 'id',
    R2_SECRET_ACCESS_KEY: 'key',
  }

  test('is s3 as soon as its credentials exist', () => {
    expect(loadConfig(s3).storage).toMatchObject({
      kind: 's3',
      region: 'us-east-1',
      bucket: 'images',
    })
  })

  test('takes R2_* as a shorthand', () => {
    expect(loadConfig({ ...r2, R2_PUBLIC_URL: 'https://cdn.example/' }).storage).toMatchObject({
      kind: 's3',
      endpoint: 'https://abc123.r2.cloudflarestorage.com',
      region: 'auto',
      publicUrl: 'https://cdn.example',
    })
  })

  test('STORAGE wins over credentials', () => {
    expect(loadConfig({ ...s3, STORAGE: 'disk' }).storage).toEqual({ kind: 'disk' })
  })

  test('the fallback is the caller’s', () => {
    const options = { storageFallback: 'disk' } as const
    expect(loadConfig({}, options).storage).toEqual({ kind: 'disk' })
    expect(loadConfig({ STORAGE: 'inline' }, options).storage).toEqual({ kind: 'inline' })
  })

  test('refuses two groups, and half of one', () => {
    expect(problemsOf({ ...s3, ...r2 })).toEqual(['S3_* and R2_* are both set; keep one group'])
    expect(problemsOf({ ...r2, R2_BUCKET: '' })).toEqual(['R2_* is incomplete: set R2_BUCKET too'])
  })

  test('half a group is a fault even where STORAGE does not use it', () => {
    expect(problemsOf({ STORAGE: 'disk', S3_BUCKET: 'b' })).toHaveLength(1)
  })
})

describe('rate limit store', () => {
  test.each([
    [{}, 'memory'],
    [POSTGRES, 'postgres'],
    [{ REDIS_URL: 'redis://localhost' }, 'redis'],
    [{ ...POSTGRES, RATE_LIMIT_STORE: 'memory' }, 'memory'],
  ] as const)('%o counts in %s', (env, store) => {
    expect(loadConfig(env).limits.store).toBe(store)
  })
})

describe('secret files', () => {
  let folder = ''
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'config-'))
    await writeFile(join(folder, 'jwt'), `${SECRET}\n`)
    await writeFile(join(folder, 'empty'), '\n')
    await writeFile(join(folder, 'large'), 'x'.repeat(70_000))
  })
  afterAll(() => rm(folder, { recursive: true }))

  test('a secret may come from a file', () => {
    const config = loadConfig({ ...POSTGRES, JWT_SECRET: '', JWT_SECRET_FILE: join(folder, 'jwt') })
    expect(config.auth.jwtSecrets).toEqual([SECRET])
  })

  test.each(SECRET_NAMES)('%s also comes as a file', (name) => {
    expect(problemsOf({ [`${name}_FILE`]: '/nowhere' })).toContain(
      `${name}_FILE cannot be read (ENOENT)`,
    )
  })

  test('both at once are a fault', () => {
    expect(problemsOf({ JWT_SECRET: SECRET, JWT_SECRET_FILE: join(folder, 'jwt') })).toEqual([
      'JWT_SECRET and JWT_SECRET_FILE are both set; keep one',
    ])
  })

  test('an empty and an endless file are faults', () => {
    const problem = (file: string) => problemsOf({ JWT_SECRET_FILE: join(folder, file) })
    expect(problem('empty')).toEqual(['JWT_SECRET_FILE names an empty file'])
    expect(problem('large')).toEqual(['JWT_SECRET_FILE names a file that is too large'])
    expect(problemsOf({ JWT_SECRET_FILE: '/dev/zero' })).toEqual([
      'JWT_SECRET_FILE names no regular file',
    ])
  })

  test('a name that is no secret takes no file', () => {
    expect(loadConfig({ HOST_FILE: '/nowhere' }).server.host).toBe('127.0.0.1')
  })
})

describe('.env.example', () => {
  const lines = readFileSync(new URL('../../../.env.example', import.meta.url), 'utf8').split('\n')
  const samples = lines.flatMap((line) => {
    const [, name, value] = /^#? ?([A-Z0-9_]+)=(.*)$/.exec(line) ?? []
    return name === undefined ? [] : [[name as Name, value ?? ''] as const]
  })

  test('names what the schema names, once each', () => {
    expect(samples.map(([name]) => name).toSorted()).toEqual(NAMES.toSorted())
  })

  test('explains each name in the line above it', () => {
    const unexplained = lines.filter(
      (line, index) =>
        /^#? ?[A-Z0-9_]+=/.test(line) && !/^# .{10,}[.]|^# .*openssl/.test(lines[index - 1] ?? ''),
    )
    expect(unexplained).toEqual([])
  })

  test.each(samples)('%s=%s is the default, a good sample or a refused secret', (name, value) => {
    const sample = FIELDS[name].safeParse(value)
    expect(sample.success).toBe(!SECRET_NAMES.includes(name))
    const unset = FIELDS[name].safeParse(undefined).data
    const hasDefault = unset !== undefined && !Array.isArray(unset)
    expect(sample.data).toEqual(hasDefault ? unset : sample.data)
  })
})

describe('MODELS_FILE', () => {
  let folder = ''
  const write = async (name: string, text: string) => {
    const file = join(folder, name)
    await writeFile(file, text)
    return file
  }
  const told = (env: Record<string, string>) => {
    try {
      loadConfig(env, { readModels })
      return []
    } catch (error) {
      return (error as ConfigError).problems
    }
  }
  const alias = JSON.stringify({ models: [{ id: 'gemini-3-pro-image', aliases: ['house-model'] }] })
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'models-'))
  })
  afterAll(() => rm(folder, { recursive: true }))

  test('DEFAULT_MODEL may be what the file names, and nothing that no model has', async () => {
    const MODELS_FILE = await write('alias.json', alias)
    expect(told({ MODELS_FILE, DEFAULT_MODEL: 'house-model' })).toEqual([])
    expect(told({ DEFAULT_MODEL: 'nano-banana' })).toEqual([])
    const unknown = /^DEFAULT_MODEL names no model; it may be gemini-nano-banana-2\.1, /
    expect(told({ DEFAULT_MODEL: 'house-model' })).toEqual([expect.stringMatching(unknown)])
    expect(told({ MODELS_FILE, DEFAULT_MODEL: 'nano-banana-pro' })).toEqual([
      expect.stringContaining('house-model'),
    ])
  })

  test('OPENAI_MODEL_MAP names models, and renames none of them', async () => {
    const MODELS_FILE = await write('mapped.json', alias)
    const OPENAI_MODEL_MAP = 'gpt-image-1 = default, dall-e-3=house-model'
    expect(told({ MODELS_FILE, OPENAI_MODEL_MAP })).toEqual([])
    expect(loadConfig({ OPENAI_MODEL_MAP }).provider.openaiModels).toEqual({
      'gpt-image-1': 'default',
      'dall-e-3': 'house-model',
    })
    expect(told({ OPENAI_MODEL_MAP })).toEqual([
      expect.stringMatching(
        /^OPENAI_MODEL_MAP its pair no\. 2 names no model; it may be default, gemini-/,
      ),
    ])
    expect(told({ OPENAI_MODEL_MAP: 'nano-banana-pro=default' })).toEqual([
      'OPENAI_MODEL_MAP its pair no. 1 renames a model of ours',
    ])
  })

  test('every fault of the file is told with those of the environment', async () => {
    const models = [{ id: 'gemini-3-pro-image', status: 'gone', nmae: 'Pro' }]
    const MODELS_FILE = await write('faulty.json', JSON.stringify({ models }))
    expect(told({ MODELS_FILE, PORT: 'x', DEFAULT_MODEL: 'of-the-file' })).toEqual([
      'PORT must be a whole number from 0 to 65535',
      'MODELS_FILE models[0] (gemini-3-pro-image): status must be one of stable, deprecated',
      'MODELS_FILE models[0] (gemini-3-pro-image): a model has no field "nmae"',
    ])
  })

  test('a file that is missing, none, empty or too large is a fault', async () => {
    const problem = (file: string) => told({ MODELS_FILE: file })
    expect(problem('/nowhere')).toEqual(['MODELS_FILE cannot be read (ENOENT)'])
    expect(problem(folder)).toEqual(['MODELS_FILE names no regular file'])
    expect(problem('/dev/zero')).toEqual(['MODELS_FILE names no regular file'])
    expect(problem(await write('empty', '\n'))).toEqual(['MODELS_FILE names an empty file'])
    const large = alias + ' '.repeat(1_000_000 - alias.length)
    expect(problem(await write('full', large))).toEqual([])
    expect(problem(await write('large', `${large} `))).toEqual([
      'MODELS_FILE names a file that is too large',
    ])
  })

  test('a command ends with 78 and the faults, and prints nothing of a file that is no models file', async () => {
    vi.stubEnv('MODELS_FILE', await write('secrets', 'JWT_SECRET=canary'))
    onTestFinished(() => void vi.unstubAllEnvs())
    const lines: string[] = []
    const print = (line: string) => void lines.push(line)
    const code = await runCommand(['serve'], { print, fail: print, readInput: async () => '' })
    expect(code).toBe(78)
    expect(lines).toEqual(['The configuration is not valid:\n  MODELS_FILE is not valid JSON'])
  })
})

describe('warnings', () => {
  const exposed = {
    HOST: '0.0.0.0',
    GEMINI_API_KEY: 'real-key',
    PUBLIC_URL: 'https://images.example.com',
    TRUST_PROXY: '10.0.0.0/8',
  }
  const warnings = (env: Record<string, string>) => bootWarnings(loadConfig(env))

  test('tells that strangers can spend without a limit', () => {
    expect(warnings(exposed)).toEqual([expect.stringContaining('Strangers can spend')])
  })

  test.each([
    [{ ...exposed, HOST: '127.0.0.1' }],
    [{ ...exposed, HOST: '::1' }],
    [{ ...exposed, REGISTRATION: 'closed' }],
    [{ ...exposed, DEFAULT_MONTHLY_LIMIT_USD: '5' }],
    [{ ...exposed, GEMINI_API_KEY: '' }],
    [{}],
  ])('%o is quiet', (env) => {
    expect(warnings(env)).toEqual([])
  })

  test.each([
    [{ ...POSTGRES, RATE_LIMIT_STORE: 'memory' }, 'RATE_LIMIT_STORE=memory'],
    [{ WEBHOOK_ALLOW_PRIVATE: 'true' }, 'WEBHOOK_ALLOW_PRIVATE'],
    [{ DRAIN_TIMEOUT: '10' }, 'DRAIN_TIMEOUT'],
    [{ HOST: '0.0.0.0' }, 'PUBLIC_URL is unset'],
    [{ PUBLIC_URL: 'https://images.example.com' }, 'TRUST_PROXY'],
  ])('%o is warned of', (env, part) => {
    expect(warnings(env)).toEqual([expect.stringContaining(part)])
  })
})

test('inspect is not fooled by nested secrets', () => {
  expect(inspect(loadConfig(POSTGRES), { depth: null })).not.toContain(SECRET)
})
