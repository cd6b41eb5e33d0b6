import { createHash, randomBytes } from 'node:crypto'
import { mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { loadConfig } from '../config.ts'
import { deriveSecrets, loadSecrets } from './secrets.ts'

const OLD = randomBytes(32).toString('hex')
const NEW = randomBytes(32).toString('hex')
const PEPPER = randomBytes(32).toString('hex')

let root = ''
let count = 0
beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), 'secrets-'))
})
afterAll(() => rm(root, { recursive: true }))

const freshFolder = () => join(root, `data-${++count}`)
const load = (dataDir: string, env: Record<string, string> = {}) =>
  loadSecrets(loadConfig({ DATA_DIR: dataDir, ...env }))
const hex8 = (bytes: Buffer | string) =>
  createHash('sha256').update(bytes).digest('hex').slice(0, 8)

test('the kid is the start of the secret’s SHA-256, newest first', () => {
  const { jwt } = deriveSecrets([NEW, OLD])
  expect(jwt.map(({ kid }) => kid)).toEqual([hex8(NEW), hex8(OLD)])
  expect(jwt[0].bytes.toString()).toBe(NEW)
})

test('peppers are the configured ones, then one derived from each secret', () => {
  const plain = deriveSecrets([NEW, OLD]).peppers
  const { peppers } = deriveSecrets([NEW, OLD], [PEPPER])
  expect(peppers.map(({ id }) => id)).toEqual([hex8(PEPPER), ...plain.map(({ id }) => id)])
  expect(peppers.every(({ id, bytes }) => id === hex8(bytes))).toBe(true)
  expect(new Set(peppers.map(({ id }) => id)).size).toBe(3)
})

test('a derived pepper stays the same over rotation and releases', () => {
  const fixed = 'f3a1c9d27b6e40588d1f02c7a9b4e6130f5d8c2b7a6e9143'
  const [pepper] = deriveSecrets([fixed]).peppers
  expect(deriveSecrets([NEW, fixed]).peppers[1]?.bytes).toEqual(pepper.bytes)
  expect(pepper.id).toBe('1ceb86cc')
  expect(hex8(deriveSecrets([fixed]).urlSigningKeys[0])).toBe('d1b034bc')
})

test('the derived keys differ from each other and from the secret', () => {
  const { jwt, peppers, urlSigningKeys } = deriveSecrets([NEW, OLD])
  const all = [
    ...jwt.map(({ bytes }) => bytes),
    ...peppers.map(({ bytes }) => bytes),
    ...urlSigningKeys,
  ]
  expect(new Set(all.map((bytes) => bytes.toString('hex'))).size).toBe(6)
})

test('an empty list is a programming fault', () => {
  expect(() => deriveSecrets([])).toThrow(TypeError)
})

test('JWT_SECRET wins and leaves the folder alone', async () => {
  const folder = freshFolder()
  expect((await load(folder, { JWT_SECRET: NEW })).jwt[0].kid).toBe(hex8(NEW))
  await expect(stat(folder)).rejects.toThrow('ENOENT')
})

test('the first start makes a secret, later ones read it', async () => {
  const folder = freshFolder()
  const first = await load(folder)
  const second = await load(folder)
  expect(second.jwt[0].kid).toBe(first.jwt[0].kid)
  expect(await readdir(folder)).toEqual(['secrets.json'])
})

test('racing first starts agree on one secret', async () => {
  const folder = freshFolder()
  const all = await Promise.all(Array.from({ length: 20 }, () => load(folder)))
  expect(new Set(all.map(({ jwt }) => jwt[0].kid)).size).toBe(1)
  expect(await readdir(folder)).toEqual(['secrets.json'])
})

test('the file may list several secrets, newest first', async () => {
  const folder = freshFolder()
  await load(folder)
  const file = join(folder, 'secrets.json')
  const { jwt_secrets } = JSON.parse(await readFile(file, 'utf8')) as { jwt_secrets: string[] }
  await writeFile(file, JSON.stringify({ jwt_secrets: [NEW, ...jwt_secrets] }))
  const { jwt } = await load(folder)
  expect(jwt.map(({ kid }) => kid)).toEqual([hex8(NEW), hex8(jwt_secrets[0] ?? '')])
})
