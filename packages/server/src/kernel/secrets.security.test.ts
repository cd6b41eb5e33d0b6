import { chmod, mkdir, mkdtemp, rm, stat, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { inspect } from 'node:util'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { BootError, loadConfig } from '../config.ts'
import { deriveSecrets, loadSecrets } from './secrets.ts'

const SECRET = 'f3a1c9d27b6e40588d1f02c7a9b4e6130f5d8c2b7a6e9143'

let root = ''
let count = 0
beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), 'secrets-'))
})
afterAll(() => rm(root, { recursive: true }))

const freshFolder = () => join(root, `data-${++count}`)
const load = (dataDir: string) => loadSecrets(loadConfig({ DATA_DIR: dataDir }))
const faultOf = async (dataDir: string): Promise<BootError> => {
  const error: unknown = await load(dataDir).catch((reason: unknown) => reason)
  if (error instanceof BootError) return error
  throw new Error('the start was not refused', { cause: error })
}
const withFile = async (content: string) => {
  const folder = freshFolder()
  await mkdir(folder)
  await writeFile(join(folder, 'secrets.json'), content, { mode: 0o600 })
  return folder
}

describe('BOOT-2: the generated file', () => {
  test('is closed to other users, and so is its folder', async () => {
    const folder = freshFolder()
    await load(folder)
    expect((await stat(join(folder, 'secrets.json'))).mode & 0o777).toBe(0o600)
    expect((await stat(folder)).mode & 0o777).toBe(0o700)
  })

  test('differs from folder to folder', async () => {
    const [one, other] = [await load(freshFolder()), await load(freshFolder())]
    expect(one.jwt[0].kid).not.toBe(other.jwt[0].kid)
  })

  test.each([0o640, 0o604, 0o644, 0o660])('is refused with mode %o', async (mode) => {
    const folder = freshFolder()
    await load(folder)
    await chmod(join(folder, 'secrets.json'), mode)
    const fault = await faultOf(folder)
    expect(fault.exitCode).toBe(78)
    expect(fault.message).toContain('chmod 600')
  })

  test.each([
    ['nothing', ''],
    ['no JSON', `{"jwt_secrets":["${SECRET}"`],
    ['no list', '{"jwt_secrets":[]}'],
    ['another shape', `["${SECRET}"]`],
    ['a weak secret', '{"jwt_secrets":["CANARY-weak"]}'],
    ['a weak second secret', `{"jwt_secrets":["${SECRET}","CANARY-weak"]}`],
  ])('is refused when it holds %s, and not overwritten', async (_, content) => {
    const folder = await withFile(content)
    const fault = await faultOf(folder)
    expect(fault.message).toContain('secrets.json is damaged')
    expect(inspect(fault)).not.toMatch(new RegExp(`CANARY|${SECRET}`))
  })

  test('a dangling link is not followed into a new file', async () => {
    const folder = freshFolder()
    await mkdir(folder)
    const target = join(root, `target-${count}`)
    await symlink(target, join(folder, 'secrets.json'))
    await faultOf(folder)
    await expect(stat(target)).rejects.toThrow('ENOENT')
  })

  test('a folder that cannot be made is a fault of the operator', async () => {
    const file = join(root, `file-${++count}`)
    await writeFile(file, '')
    expect((await faultOf(join(file, 'data'))).message).toContain('ENOTDIR')
  })
})

test('secrets print as [secrets], whole or in parts', () => {
  const secrets = deriveSecrets([SECRET], [SECRET])
  const forms = [
    Buffer.from(SECRET).toString('base64'),
    Buffer.from(SECRET).toString('hex'),
    SECRET,
  ]
  const parts: unknown[] = [secrets, { secrets }, secrets.jwt, ...secrets.jwt, secrets.peppers[0]]
  for (const part of [...parts, secrets.peppers[0].bytes, secrets.urlSigningKeys]) {
    const printed = `${inspect(part, { depth: null })} ${JSON.stringify(part)} `
    expect(printed).toContain('[secrets]')
    for (const form of forms) expect(printed).not.toContain(form)
    expect(printed).not.toContain('66 33 61 31')
    expect(printed).not.toContain('102,51,97')
  }
  expect(Object.isFrozen(secrets.jwt)).toBe(true)
})
