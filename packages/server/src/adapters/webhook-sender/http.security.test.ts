import { createServer, type Server } from 'node:net'
import type { AddressInfo } from 'node:net'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { createDnsServer, type DnsServer, type Zone } from '../../../test/dns-server.ts'
import { createReceiver, type Receiver } from '../../../test/webhook-receiver.ts'
import { createHttpWebhookSender } from './http.ts'
import { isPublicAddress } from './public-address.ts'
import { resolveBy } from './resolve.ts'

let listener: Server
let port: number
let connections: number
let dns: DnsServer
let zone: Zone
let hook: Receiver

beforeAll(async () => {
  listener = createServer((socket) => {
    connections++
    socket.destroy()
  })
  await new Promise<void>((resolve) => void listener.listen(0, '127.0.0.1', resolve))
  port = (listener.address() as AddressInfo).port
  dns = await createDnsServer((name) => zone(name))
})
afterAll(async () => {
  listener.close()
  await dns[Symbol.asyncDispose]()
})
beforeEach(async () => {
  connections = 0
  dns.queries.length = 0
  zone = () => 'nxdomain'
  hook = await createReceiver()
})
afterEach(() => hook[Symbol.asyncDispose]())

/** As in production, but for the port of the listener, which would see whatever slips through. */
const guarded = () =>
  createHttpWebhookSender({
    allowPrivate: false,
    ports: [443, port],
    resolve: resolveBy(dns.resolver),
  })
const open = () => createHttpWebhookSender({ allowPrivate: true, resolve: resolveBy(dns.resolver) })

const message = (url: string) => ({ url, headers: { 'webhook-id': 'msg_x' }, body: '{}' })

async function expectRefused(url: string): Promise<string> {
  const sender = guarded()
  const checked = await sender.check(url)
  expect(checked).toHaveProperty('fault')
  expect(await sender.send(message(url))).toBeUndefined()
  expect(connections).toBe(0)
  return (checked as { fault: string }).fault
}

describe('IN-7: nothing reaches a loopback listener', () => {
  test.each([
    '127.0.0.1',
    '127.1',
    '0x7f.1',
    '2130706433',
    '0177.0.0.1',
    '0',
    '0.0.0.0',
    '①②⑦.0.0.1',
    '127。0。0。1',
    '[::]',
    '[::1]',
    '[::ffff:127.0.0.1]',
    '[::127.0.0.1]',
    '[64:ff9b::7f00:1]',
    '[2002:7f00:1::]',
    '169.254.169.254',
    '100.100.100.200',
    '[fd00:ec2::254]',
    '93.184.215.14',
    '[2606:2800:21f:cb07:6820:80da:af6b:8b2c]',
  ])('by the address %s', async (host) => {
    expect(await expectRefused(`https://${host}:${port}/`)).toBe(
      'must name a host, not an IP address',
    )
    expect(dns.queries).toEqual([])
  })

  test.each<[string, readonly string[]]>([
    ['metadata.google.internal', ['169.254.169.254']],
    ['metadata', ['169.254.169.254']],
    ['instance-data.ec2.internal', ['169.254.169.254']],
    ['loopback.example', ['127.0.0.1']],
    ['zero.example', ['0.0.0.0']],
    ['only-aaaa.example', ['::1']],
    ['mapped.example', ['::ffff:127.0.0.1']],
    ['compatible.example', ['::127.0.0.1']],
    ['nat64.example', ['64:ff9b::7f00:1']],
    ['six-to-four.example', ['2002:7f00:1::']],
    ['unique-local.example', ['fd00:ec2::254']],
    ['mixed.example', ['93.184.215.14', '127.0.0.1']],
    ['mixed-last.example', ['127.0.0.1', '93.184.215.14']],
    ['mixed-families.example', ['93.184.215.14', '::1']],
    ['nothing.example', []],
  ])('by the name %s, whose addresses are %j', async (name, addresses) => {
    zone = () => addresses
    const fault = await expectRefused(`https://${name}:${port}/`)
    expect(fault).toBe('must name a host that has addresses, all of them public')
    expect(dns.queries).toContain(`A ${name}`)
  })

  test.each(['nxdomain', 'servfail', 'silent'] as const)(
    'by a name of which nothing is known: %s reads like what is private',
    async (outcome) => {
      zone = () => outcome
      const fault = await expectRefused(`https://unknown.example:${port}/`)
      expect(fault).toBe('must name a host that has addresses, all of them public')
    },
  )

  test('by one whose query for the other family failed', async () => {
    const half = new Proxy(dns.resolver, {
      get: (target, name) =>
        name === 'resolve4'
          ? async () => ['93.184.215.14']
          : () => target.resolve6('fails.example'),
    })
    zone = () => 'servfail'
    const resolve = resolveBy(half)
    const sender = createHttpWebhookSender({ allowPrivate: false, ports: [port], resolve })
    expect(await sender.check(`https://half.example:${port}/`)).toHaveProperty('fault')
  })

  test('localhost, in whatever spelling', async () => {
    zone = () => ['127.0.0.1']
    for (const host of ['localhost', 'LOCALHOST', 'localhost.', 'a.localhost']) {
      await expectRefused(`https://${host}:${port}/`)
    }
  })

  test('by a name that was public when it was registered, and is asked for anew', async () => {
    const sender = guarded()
    const url = `https://rebinding.example:${port}/`
    zone = () => ['93.184.215.14']
    expect(await sender.check(url)).toEqual({ url })
    zone = () => ['127.0.0.1']
    expect(await sender.send(message(url))).toBeUndefined()
    expect(connections).toBe(0)
  })

  test('by a name whose every answer is another: it is looked up once for each message', async () => {
    let asked = 0
    zone = () => {
      asked++
      return asked <= 2 ? ['127.0.0.1'] : ['127.0.0.2']
    }
    const answer = await open().send(message(`http://flips.example:${hook.port}/`))
    expect(answer).toMatchObject({ status: 204 })
    expect(dns.queries.toSorted()).toEqual(['A flips.example', 'AAAA flips.example'])
  })

  test.each([301, 302, 303, 307, 308])(
    'by a redirect: %i is an answer like others',
    async (status) => {
      hook.answer = (response) =>
        response.writeHead(status, { location: `http://127.0.0.1:${port}/` }).end()
      expect(await open().send(message(hook.url))).toMatchObject({ status })
      expect(connections).toBe(0)
      expect(hook.received).toHaveLength(1)
    },
  )
})

describe('IN-7: an address of an endpoint', () => {
  beforeEach(() => {
    zone = () => ['93.184.215.14']
  })

  test.each([
    ['https://example.com/hook', 'https://example.com/hook'],
    ['https://example.com:443/hook?a=b#part', 'https://example.com/hook?a=b'],
    ['https://EXAMPLE.com', 'https://example.com/'],
  ])('%s is taken as %s', async (given, url) => {
    expect(await guarded().check(given)).toEqual({ url })
  })

  test.each([
    ['http://example.com/', 'must begin with https://'],
    ['ftp://example.com/', 'must begin with https://'],
    ['file:///etc/passwd', 'must begin with https://'],
    ['example.com', 'must be a URL'],
    ['https://', 'must be a URL'],
    ['https://user@example.com/', 'must not hold a user name or password'],
    ['https://:password@example.com/', 'must not hold a user name or password'],
    ['https://example.com:8443/', 'must have port 443 or 80'],
    ['https://example.com:22/', 'must have port 443 or 80'],
  ])('%s %s', async (url, fault) => {
    const sender = createHttpWebhookSender({
      allowPrivate: false,
      resolve: resolveBy(dns.resolver),
    })
    expect(await sender.check(url)).toEqual({ fault })
    expect(await sender.send(message(url))).toBeUndefined()
    expect(dns.queries).toEqual([])
  })
})

const listOf = (text: string) => text.trim().split(/\s+/)

const NOT_PUBLIC = listOf(`
  0.1.2.3 10.0.0.1 100.64.0.1 100.127.255.255 127.255.255.255 169.254.0.1 172.16.0.1
  172.31.255.255 192.0.0.8 192.0.2.1 192.31.196.1 192.52.193.1 192.88.99.1 192.168.255.255
  192.175.48.1 198.18.0.1 198.19.255.255 198.51.100.1 203.0.113.1 224.0.0.1 239.255.255.255
  240.0.0.1 255.255.255.255 :: ::1 ::ffff:8.8.8.8 ::8.8.8.8 64:ff9b::808:808 64:ff9b:1::1
  100::1 1fff::1 4000::1 fc00::1 fd00::1 fe80::1 ff02::1 2001::1 2001:1ff:ffff::1
  2001:db8::1 2002::1 3fff::1 3fff:fff::1 2606:4700::1%eth0 example.com
`)
const PUBLIC = listOf(`
  1.1.1.1 9.255.255.255 11.0.0.0 100.63.255.255 100.128.0.0 126.255.255.255 128.0.0.0
  172.15.255.255 172.32.0.0 192.0.1.0 198.17.255.255 198.20.0.0 223.255.255.255
  2606:4700:4700::1111 2001:200::1 2a00::1 2003::1 3ffe::1
`)

describe('IN-7: of all addresses', () => {
  test.each([...NOT_PUBLIC, ''])('%s is not for the whole internet', (address) => {
    expect(isPublicAddress(address)).toBe(false)
  })

  test.each(PUBLIC)('%s is', (address) => {
    expect(isPublicAddress(address)).toBe(true)
  })
})
