// The service with points at which it kills itself, put around it from outside: the sources hold none,
// so the release build has none.   CRASH_AT='before commit' CRASH_NTH=2 node service.ts
import { mkdir, open } from 'node:fs/promises'
import type { FileHandle } from 'node:fs/promises'
import { AsyncLocalStorage } from 'node:async_hooks'
import type { ServerResponse } from 'node:http'
import { join } from 'node:path'
import { readConfig } from '../../src/app.ts'
import type { Config } from '../../src/config.ts'
import { type Db, type DbHandle, openPglite, openPostgres } from '../../src/db/client.ts'
import { lockFolder } from '../../src/db/folder-lock.ts'
import { createService, type Service } from '../../src/service.ts'
import type { InnerPoint } from './points.ts'

const { CRASH_AT, CRASH_NTH = '1' } = process.env
let left = Number(CRASH_NTH)

const isDue = (point: InnerPoint): boolean => point === CRASH_AT && --left === 0
const end = (): boolean => process.kill(process.pid, 'SIGKILL')

function crash(point: InnerPoint): void {
  if (isDue(point)) end()
}

/** The statements of the transaction that runs. */
const transaction = new AsyncLocalStorage<string[]>()

const ADMITTED = /^select count\(\*\).* from "generations"/s
const BOOKED = /^insert into "usage"/
const KEPT = /^insert into "images"/

function onQuery(statement: string): void {
  const before = transaction.getStore()
  if (before === undefined) return
  before.push(statement)
  if (ADMITTED.test(statement)) crash('accepted')
  if (BOOKED.test(statement) && before.some((one) => ADMITTED.test(one))) crash('reserved')
}

function watchTransactions(db: Db): void {
  const begin = db.transaction.bind(db)
  db.transaction = () => {
    const builder = begin()
    const execute = builder.execute.bind(builder)
    builder.execute = (work) =>
      transaction.run([], async () => {
        const ends = () => transaction.getStore()?.some((one) => KEPT.test(one)) === true
        const result = await execute(async (tx) => {
          const outcome = await work(tx)
          if (ends()) crash('before commit')
          return outcome
        })
        if (ends()) crash('after commit')
        return result
      })
    return builder
  }
}

function watchProvider({ providers }: Service['deps']): void {
  const { live } = providers
  if (live === undefined) throw new Error('GEMINI_API_KEY is missing')
  const generate: typeof live.generate = async (request) => {
    crash('before upstream')
    const result = await live.generate(request)
    crash('upstream answered')
    return result
  }
  Object.assign(providers, { live: { generate } })
}

function watchStore({ objectStore }: Service['deps']): void {
  const put = objectStore.put.bind(objectStore)
  Object.assign(objectStore, {
    put: async (object: Parameters<typeof put>[0]) => {
      await put(object)
      crash('object written')
    },
  })
}

/** The disk store writes an object by this call alone. */
async function watchFiles(): Promise<void> {
  const any = await open(import.meta.filename)
  await any.close()
  const files = Object.getPrototypeOf(any) as Pick<FileHandle, 'writeFile'>
  const writeFile = files.writeFile
  files.writeFile = async function (this: FileHandle, data, ...rest) {
    if (data instanceof Uint8Array && isDue('object half written')) {
      await this.write(data.subarray(0, data.byteLength / 2))
      end()
    }
    return writeFile.call(this, data, ...rest)
  }
}

function watchResponses({ http }: Service): void {
  http.app.server.prependListener('request', ({ method, url }, response: ServerResponse) => {
    if (method !== 'POST' || url !== '/v1/generate') return
    const writeHead = response.writeHead.bind(response) as (...args: unknown[]) => ServerResponse
    response.writeHead = (...args: unknown[]) => {
      if (args[0] === 200) crash('before response')
      return writeHead(...args)
    }
  })
}

async function openDatabase(config: Config): Promise<DbHandle> {
  const log = { onConnectionError: () => {}, onQuery }
  const { url } = config.database
  return url === undefined
    ? openPglite({ folder: join(config.dataDir, 'db') }, log)
    : openPostgres({ url }, log)
}

const config = readConfig()
await mkdir(config.dataDir, { recursive: true })
if (config.database.url === undefined) await lockFolder(config.dataDir)
const database = await openDatabase(config)
watchTransactions(database.db)
const service = await createService(config, { database })
watchProvider(service.deps)
watchStore(service.deps)
await watchFiles()
watchResponses(service)
process.stdout.write(`NanoBanana listens on ${await service.listen()}\n`)
