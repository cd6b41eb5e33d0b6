import { spawn, spawnSync, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import {
  chmod,
  mkdir,
  mkdtemp,
  readdir,
  readFile,
  rm,
  stat,
  symlink,
  writeFile,
} from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { BootError } from '../config.ts'
import { lockFolder, readOwner } from './folder-lock.ts'

const MODULE = new URL('./folder-lock.ts', import.meta.url).href

/** Takes the folder, says so, and stays until it is killed. */
const HOLD = `
  import { lockFolder } from ${JSON.stringify(MODULE)}
  try {
    const lock = await lockFolder(process.argv[1])
    if (process.argv[2]) await lock.setAddress(process.argv[2])
    console.log('held')
    setInterval(() => { globalThis.gc?.() }, 50)
  } catch (error) {
    console.error(error.message)
    process.exitCode = error.exitCode
  }`
const NODE_ARGS = ['--conditions=source', '--expose-gc', '--input-type=module', '-e', HOLD]

let root = ''
let folder = ''
let count = 0
const children: ChildProcess[] = []

beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), 'lock-'))
})
beforeEach(() => {
  folder = join(root, `data-${++count}`)
})
afterEach(async () => {
  await Promise.all(children.splice(0).map(kill))
})
afterAll(() => rm(root, { recursive: true, force: true }))

async function kill(child: ChildProcess) {
  if (child.exitCode !== null || child.signalCode !== null) return
  const ended = once(child, 'exit')
  child.kill('SIGKILL')
  await ended
}

interface Start {
  child: ChildProcess
  held: boolean
  code: number | null
  errors: string
}

/** Starts a process and waits until it holds the folder or has given up. */
function start(path: string, args: string[] = [], prefix: string[] = []): Promise<Start> {
  const [command = process.execPath, ...before] = [...prefix, process.execPath]
  const child = spawn(command, [...before, ...NODE_ARGS, path, ...args], {
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  children.push(child)
  let errors = ''
  child.stderr.on('data', (chunk: Buffer) => (errors += chunk.toString()))
  return new Promise((resolve) => {
    child.stdout.once('data', () => resolve({ child, held: true, code: null, errors }))
    child.once('close', (code) => resolve({ child, held: false, code, errors }))
  })
}

const faultOf = (path: string) =>
  lockFolder(path).then(
    () => undefined,
    (error: unknown) => error as BootError,
  )

describe('a folder has one process', () => {
  test('a second start is refused with exit code 78 and one clear line', async () => {
    const first = await start(folder)
    const second = await start(folder)
    expect(second).toMatchObject({ held: false, code: 78 })
    expect(second.errors).toMatch(
      /^Another nanobanana process \(pid \d+ on .+\) uses DATA_DIR .+\n$/,
    )
    expect(second.errors).toContain(`pid ${first.child.pid} `)
    expect(second.errors).toContain(folder)
  })

  test('after SIGKILL the next start works at once, with nothing to repair', async () => {
    for (let round = 0; round < 3; round++) {
      const { child, held } = await start(folder)
      expect(held).toBe(true)
      await kill(child)
    }
    const before = performance.now()
    await using lock = await lockFolder(folder)
    expect(performance.now() - before).toBeLessThan(500)
    await lock.release()
  })

  test('a stopped owner still holds it', async () => {
    const { child } = await start(folder)
    child.kill('SIGSTOP')
    expect(await start(folder)).toMatchObject({ held: false, code: 78 })
    expect((await readOwner(folder))?.pid).toBe(child.pid)
  })

  test('of 8 simultaneous starts exactly one wins, also over what a dead one left', async () => {
    for (let round = 0; round < 2; round++) {
      const starts = await Promise.all(Array.from({ length: 8 }, () => start(folder)))
      expect(starts.filter(({ held }) => held)).toHaveLength(1)
      expect(starts.filter(({ code }) => code === 78)).toHaveLength(7)
      await Promise.all(starts.map(({ child }) => kill(child)))
    }
  })

  test('a link to the folder is the same folder', async () => {
    await start(folder)
    const link = join(root, `link-${count}`)
    await symlink(folder, link)
    expect(await start(link)).toMatchObject({ held: false, code: 78 })
  })

  test('the garbage collector does not end the lock', async () => {
    await start(folder)
    await new Promise((resolve) => setTimeout(resolve, 200))
    expect(await faultOf(folder)).toBeInstanceOf(BootError)
  })

  test('one process cannot take it twice, and asking who has it does not lose it', async () => {
    await using lock = await lockFolder(folder)
    expect((await readOwner(folder))?.pid).toBe(process.pid)
    expect(await faultOf(folder)).toBeInstanceOf(BootError)
    expect((await readOwner(folder))?.pid).toBe(process.pid)
    expect(await start(folder)).toMatchObject({ held: false, code: 78 })
    await lock.release()
    expect(await start(folder)).toMatchObject({ held: true })
  })

  const NAMESPACES = ['unshare', '--user', '--map-root-user', '--pid', '--fork', '--kill-child']
  const hasNamespaces =
    process.platform === 'linux' &&
    spawnSync('unshare', [...NAMESPACES.slice(1), 'true']).status === 0

  test.runIf(hasNamespaces)('also across pid namespaces, as containers have them', async () => {
    const inside = await start(folder, [], NAMESPACES)
    expect(inside.held).toBe(true)
    // In its own namespace it is process 1 or near, which lives out here as well.
    expect((await readOwner(folder))?.pid).toBeLessThan(10)
    expect(await start(folder)).toMatchObject({ held: false, code: 78 })
    expect(await start(folder, [], NAMESPACES)).toMatchObject({ held: false, code: 78 })
    await kill(inside.child)
    expect(await start(folder, [], NAMESPACES)).toMatchObject({ held: true })
  })
})

describe('the owner', () => {
  const stale = JSON.stringify({ pid: 1, host: 'x', started_at: 'x', url: 'http://127.0.0.1:1' })

  test('is found with its address', async () => {
    const { child } = await start(folder, ['http://127.0.0.1:3000'])
    expect(await readOwner(folder)).toEqual({ pid: child.pid, url: 'http://127.0.0.1:3000' })
  })

  test('is nobody in a folder that is new, released or left by a dead process', async () => {
    expect(await readOwner(folder)).toBeUndefined()
    expect(existsSync(folder)).toBe(false)
    const lock = await lockFolder(folder)
    await lock.release()
    expect(await readOwner(folder)).toBeUndefined()
    await kill((await start(folder, ['http://127.0.0.1:3000'])).child)
    expect(await readdir(folder)).toEqual(['process.json', 'process.lock'])
    expect(await readOwner(folder)).toBeUndefined()
  })

  test('a stale file with a living foreign pid blocks nobody', async () => {
    await mkdir(folder)
    await writeFile(join(folder, 'process.json'), stale)
    await writeFile(join(folder, 'process.lock'), '')
    expect(await readOwner(folder)).toBeUndefined()
    await using lock = await lockFolder(folder)
    expect(await readOwner(folder)).toEqual({ pid: process.pid, url: undefined })
    await lock.release()
  })

  test('a damaged file is no owner and no obstacle', async () => {
    await mkdir(folder)
    await writeFile(join(folder, 'process.json'), '{"pid":')
    await start(folder)
    await writeFile(join(folder, 'process.json'), '{"pid":')
    expect(await readOwner(folder)).toBeUndefined()
    expect((await faultOf(folder))?.message).toMatch(/^Another nanobanana process uses DATA_DIR/)
  })

  test('asking often does not keep a start out', async () => {
    const { child } = await start(folder)
    await kill(child)
    const asking = setInterval(() => void readOwner(folder), 1)
    try {
      expect(await start(folder)).toMatchObject({ held: true })
    } finally {
      clearInterval(asking)
    }
  })
})

describe('files', () => {
  test('are closed to other users, and gone after a release but for the empty lock', async () => {
    const lock = await lockFolder(folder)
    await lock.setAddress('http://127.0.0.1:3000')
    expect((await stat(folder)).mode & 0o777).toBe(0o700)
    expect((await stat(join(folder, 'process.json'))).mode & 0o777).toBe(0o600)
    expect(await readdir(folder)).toEqual(['process.json', 'process.lock'])
    await lock.release()
    await lock.release()
    await lock.setAddress('http://127.0.0.1:3001')
    expect(await readdir(folder)).toEqual(['process.lock'])
    expect(await readFile(join(folder, 'process.lock'), 'utf8')).toBe('')
  })

  test('a path of 450 bytes works', async () => {
    while (folder.length < 440) folder = join(folder, 'd'.repeat(Math.min(60, 449 - folder.length)))
    const { held } = await start(folder)
    expect(held).toBe(true)
    expect(await start(folder)).toMatchObject({ held: false, code: 78 })
  })

  test('a longer one than SQLite takes is refused in words', async () => {
    const fault = await faultOf(join(root, 'd'.repeat(250), 'd'.repeat(250), 'd'.repeat(250)))
    expect(fault).toBeInstanceOf(BootError)
    expect(fault?.message).toContain('DATA_DIR is longer than')
  })

  test.each(['with space', 'a?b=c', 'a#b', 'a%20b', 'file:a', ':memory:', 'übung'])(
    'a folder called %s is taken literally',
    async (name) => {
      await using lock = await lockFolder(join(folder, name))
      expect(existsSync(join(folder, name, 'process.lock'))).toBe(true)
      expect((await readOwner(join(folder, name)))?.pid).toBe(process.pid)
      await lock.release()
    },
  )

  test('a folder that cannot be used is a fault of the operator', async () => {
    await mkdir(folder)
    await writeFile(join(folder, 'file'), '')
    const fault = await faultOf(join(folder, 'file', 'data'))
    expect(fault).toMatchObject({ exitCode: 78 })
    expect(fault?.message).toContain('cannot be locked')
  })

  test('a lock file with foreign content is named, not overwritten', async () => {
    await mkdir(folder)
    await writeFile(join(folder, 'process.lock'), 'something else '.repeat(100))
    expect((await faultOf(folder))?.message).toContain('not a database')
    expect(await readOwner(folder)).toBeUndefined()
  })

  test.runIf(process.getuid?.() !== 0)(
    'a folder without the right to write is refused',
    async () => {
      await mkdir(folder)
      await chmod(folder, 0o500)
      expect(await faultOf(folder)).toBeInstanceOf(BootError)
    },
  )
})
