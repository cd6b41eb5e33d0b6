import { once } from 'node:events'
import { readFile } from 'node:fs/promises'
import { createServer } from 'node:http'
import { join, normalize } from 'node:path'
import { text } from 'node:stream/consumers'

/** Serves the consumer's folder to a browser, whose page posts what it saw. */
export async function startPage(folder) {
  let tell
  const told = new Promise((resolve) => void (tell = resolve))
  let page = ''
  const server = createServer(async (request, response) => {
    if (request.method === 'POST') {
      tell(await text(request))
      return response.end()
    }
    const path = normalize(new URL(request.url, 'http://x').pathname)
    if (path === '/') return response.setHeader('content-type', 'text/html').end(page)
    const file = await readFile(join(folder, path)).catch(() => undefined)
    response.statusCode = file === undefined ? 404 : 200
    response.setHeader('content-type', 'text/javascript').end(file)
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return {
    origin: `http://127.0.0.1:${server.address().port}`,
    told,
    show: (settings) => void (page = pageOf(settings)),
    close: () => {
      server.closeAllConnections()
      server.close()
    },
  }
}

const pageOf = (settings) => `<!doctype html><meta charset="utf-8">
<script type="importmap">{ "imports": {
  "@nanobanana/sdk": "/node_modules/@nanobanana/sdk/dist/index.js",
  "@nanobanana/sdk/webhooks": "/node_modules/@nanobanana/sdk/dist/webhooks.js"
} }</script>
<script type="module">
  const tell = (text) => fetch('/told', { method: 'POST', body: text })
  try {
    const [{ call }, { NanoBanana }, { verify }] = await Promise.all(
      ['/call.js', '@nanobanana/sdk', '@nanobanana/sdk/webhooks'].map((name) => import(name)))
    const settings = ${JSON.stringify(settings)}
    let refused = false
    try { new NanoBanana({ ...settings }) } catch (error) { refused = /dangerouslyAllowBrowser/.test(error.message) }
    if (!refused) throw new Error('a key was taken without being told that it is meant')
    await tell(await call({ NanoBanana, verify }, settings))
  } catch (error) {
    await tell('FAILED ' + error.stack)
  }
</script>`
