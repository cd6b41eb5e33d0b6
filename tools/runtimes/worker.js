import { readdir } from 'node:fs/promises'
import { join } from 'node:path'

const WORKER = `
import { call } from './call.js'
import { NanoBanana } from './dist/index.js'
import { verify } from './dist/webhooks.js'

export default {
  async test(_, env) {
    console.log(await call({ NanoBanana, verify }, JSON.parse(env.SETTINGS)))
  },
}
`

/** Configuration of workerd: the worker as a test, with the files of the tarball as its modules. */
export async function workerConfig(folder, settings) {
  const dist = join(folder, 'node_modules/@nanobanana/sdk/dist')
  const names = (await readdir(dist)).filter((name) => name.endsWith('.js'))
  const embedded = [
    ['call.js', 'call.js'],
    ...names.map((name) => [`dist/${name}`, join('node_modules/@nanobanana/sdk/dist', name)]),
  ].map(([name, path]) => `(name = ${quote(name)}, esModule = embed ${quote(path)})`)
  return `using Workerd = import "/workerd/workerd.capnp";
const config :Workerd.Config = (services = [
  (name = "main", worker = (
    modules = [(name = "worker.js", esModule = ${quote(WORKER)}), ${embedded.join(', ')}],
    bindings = [(name = "SETTINGS", text = ${quote(JSON.stringify(settings))})],
    compatibilityDate = "2026-01-01",
  )),
  (name = "internet", network = (allow = ["public", "private"])),
]);
`
}

const quote = (text) => JSON.stringify(text)
