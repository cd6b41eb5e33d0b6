import { createHash, hkdfSync, randomBytes } from 'node:crypto'
import { constants, copyFile, link, mkdir, open, readFile, rm, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { inspect } from 'node:util'
import { z } from 'zod'
import { BootError, type Config } from '../config.ts'
import { weaknessOf } from '../config/weak-secret.ts'

export interface JwtSecret {
  /** First 8 hex digits of the secret's SHA-256; the `kid` of its tokens. */
  readonly kid: string
  readonly bytes: Buffer
}

export interface Pepper {
  /** First 8 hex digits of the SHA-256 of the bytes; stored with each key. */
  readonly id: string
  readonly bytes: Buffer
}

type AtLeastOne<T> = readonly [T, ...T[]]

/** In each list the first signs and all verify. Printing it shows nothing. */
export interface Secrets {
  readonly jwt: AtLeastOne<JwtSecret>
  readonly peppers: AtLeastOne<Pepper>
  readonly urlSigningKeys: AtLeastOne<Buffer>
  /** For what must be read again; the first seals and all open. */
  readonly sealingKeys: AtLeastOne<Buffer>
}

// Changing one of these ends every key, signed URL or sealed secret made before.
const PEPPER_INFO = 'nanobanana api key pepper v1'
const URL_SIGNING_INFO = 'nanobanana url signing v1'
const SEALING_INFO = 'nanobanana sealing v1'

/** Reads or makes the signing secrets, and derives the others from them. */
export async function loadSecrets(config: Config): Promise<Secrets> {
  const texts = config.auth.jwtSecrets ?? (await generatedSecrets(config.dataDir))
  return deriveSecrets(texts, config.auth.apiKeyPeppers)
}

/** @param jwtSecrets newest first, checked already */
export function deriveSecrets(
  jwtSecrets: readonly string[],
  apiKeyPeppers: readonly string[] = [],
): Secrets {
  const jwt = jwtSecrets.map((text) => Buffer.from(text, 'utf8'))
  const peppers = [
    ...apiKeyPeppers.map((text) => Buffer.from(text, 'utf8')),
    ...jwt.map((secret) => derive(secret, PEPPER_INFO)),
  ]
  return secretive({
    jwt: atLeastOne(jwt.map((bytes) => ({ kid: fingerprint(bytes), bytes }))),
    peppers: atLeastOne(peppers.map((bytes) => ({ id: fingerprint(bytes), bytes }))),
    urlSigningKeys: atLeastOne(jwt.map((secret) => derive(secret, URL_SIGNING_INFO))),
    sealingKeys: atLeastOne(jwt.map((secret) => derive(secret, SEALING_INFO))),
  })
}

const derive = (secret: Buffer, info: string) =>
  Buffer.from(hkdfSync('sha256', secret, Buffer.alloc(0), info, 32))

const fingerprint = (bytes: Buffer) => createHash('sha256').update(bytes).digest('hex').slice(0, 8)

function atLeastOne<T>(list: readonly T[]): AtLeastOne<T> {
  const [first, ...rest] = list
  if (first === undefined) throw new TypeError('a list of secrets must not be empty')
  return [first, ...rest]
}

/** Also the parts hide themselves: they are what a careless log line would take. */
function secretive<T extends object>(value: T): T {
  for (const part of Object.values(value))
    if (typeof part === 'object' && part !== null) secretive(part)
  const hide = () => '[secrets]'
  Object.defineProperty(value, 'toJSON', { value: hide })
  Object.defineProperty(value, inspect.custom, { value: hide })
  return Buffer.isBuffer(value) ? value : Object.freeze(value)
}

const SecretsFile = z.strictObject({
  jwt_secrets: z
    .array(z.string().refine((secret) => weaknessOf(secret) === undefined))
    .min(1)
    .max(16),
})

async function generatedSecrets(dataDir: string): Promise<readonly string[]> {
  const file = join(dataDir, 'secrets.json')
  try {
    return (await readSecrets(file)) ?? (await createSecrets(dataDir, file))
  } catch (error) {
    if (error instanceof BootError) throw error
    throw new BootError(`${file} cannot be used: ${reason(error)}`, { cause: error })
  }
}

const AFTER_DELETING =
  'Every access token ends then, and the next start is refused until the API keys made under it ' +
  'are revoked with: nanobanana-server keys revoke-unreadable'

async function readSecrets(file: string): Promise<readonly string[] | undefined> {
  const text = await readFile(file, 'utf8').catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return undefined
    throw error
  })
  if (text === undefined) return undefined
  const { mode } = await stat(file)
  if (process.platform !== 'win32' && (mode & 0o077) !== 0)
    throw new BootError(
      `${file} can be read by other users. Close it with: chmod 600 ${file}\n` +
        `If somebody may have read it, delete it instead. ${AFTER_DELETING}`,
    )
  const parsed = SecretsFile.safeParse(parseJson(text))
  if (parsed.success) return parsed.data.jwt_secrets
  throw new BootError(
    `${file} is damaged or holds a weak secret. Restore it from a backup, or delete it. ` +
      AFTER_DELETING,
  )
}

/** The file appears whole or not at all, and only once: of two first starts both read the same. */
async function createSecrets(dataDir: string, file: string): Promise<readonly string[]> {
  await mkdir(dataDir, { recursive: true, mode: 0o700 })
  const draft = `${file}.${randomBytes(8).toString('hex')}.tmp`
  const secret = randomBytes(32).toString('hex')
  try {
    await writeThrough(draft, `${JSON.stringify({ jwt_secrets: [secret] }, null, 2)}\n`)
    await publish(draft, file)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error
  } finally {
    await rm(draft, { force: true })
  }
  const made = await readSecrets(file)
  // A dangling link, say: going on would mean another secret at each start.
  if (made === undefined) throw new BootError(`${file} cannot be read after it was made.`)
  return made
}

/** Some file systems have no hard links; there the folder's lock keeps two first starts apart. */
async function publish(draft: string, file: string): Promise<void> {
  try {
    await link(draft, file)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') throw error
    await copyFile(draft, file, constants.COPYFILE_EXCL)
  }
}

async function writeThrough(file: string, text: string): Promise<void> {
  const handle = await open(file, 'wx', 0o600)
  try {
    await handle.writeFile(text)
    await handle.sync()
  } finally {
    await handle.close()
  }
}

const reason = (error: unknown) => (error as NodeJS.ErrnoException).code ?? 'unknown error'

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}
