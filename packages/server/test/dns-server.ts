import { createSocket } from 'node:dgram'
import { Resolver } from 'node:dns/promises'
import { isIPv4 } from 'node:net'

/** Addresses of a name, or what goes wrong; asked anew for each query. */
export type Zone = (name: string) => readonly string[] | 'nxdomain' | 'servfail' | 'silent'

export interface DnsServer extends AsyncDisposable {
  /** Asks this server alone. */
  readonly resolver: Resolver
  /** `A name` or `AAAA name`, in the order in which they came. */
  readonly queries: string[]
}

const TYPES: Readonly<Record<number, string>> = { 1: 'A', 28: 'AAAA' }
const CODES = { nxdomain: 3, servfail: 2 }
const HEADER_BYTES = 12

/** A name server on loopback; its answers may be kept for no time at all. */
export async function createDnsServer(zone: Zone): Promise<DnsServer> {
  const queries: string[] = []
  const socket = createSocket('udp4')
  socket.on('message', (query, { port, address }) => {
    const { name, type, question } = parse(query)
    queries.push(`${type} ${name}`)
    const found = zone(name)
    if (found === 'silent') return
    const code = typeof found === 'string' ? CODES[found] : 0
    const records = typeof found === 'string' ? [] : found
    const data = records.filter((one) => isIPv4(one) === (type === 'A')).map(bytesOf)
    socket.send(answer(query, question, code, type, data), port, address)
  })
  await new Promise<void>((resolve) => void socket.bind(0, '127.0.0.1', resolve))
  const resolver = new Resolver({ timeout: 200, tries: 2 })
  resolver.setServers([`127.0.0.1:${socket.address().port}`])
  return {
    resolver,
    queries,
    [Symbol.asyncDispose]: () => new Promise<void>((resolve) => void socket.close(() => resolve())),
  }
}

function parse(query: Buffer) {
  const labels: string[] = []
  let at = HEADER_BYTES
  for (let length = query[at]!; length > 0; length = query[at]!) {
    labels.push(query.toString('latin1', at + 1, at + 1 + length))
    at += 1 + length
  }
  const question = query.subarray(HEADER_BYTES, at + 5)
  return { name: labels.join('.'), type: TYPES[query.readUInt16BE(at + 1)] ?? 'other', question }
}

function answer(query: Buffer, question: Buffer, code: number, type: string, data: Buffer[]) {
  const header = Buffer.alloc(HEADER_BYTES)
  query.copy(header, 0, 0, 2)
  header.writeUInt16BE(0x8180 | code, 2)
  header.writeUInt16BE(1, 4)
  header.writeUInt16BE(data.length, 6)
  const records = data.map((bytes) => {
    const record = Buffer.alloc(12)
    record.writeUInt16BE(0xc000 | HEADER_BYTES, 0)
    record.writeUInt16BE(type === 'A' ? 1 : 28, 2)
    record.writeUInt16BE(1, 4)
    record.writeUInt16BE(bytes.length, 10)
    return Buffer.concat([record, bytes])
  })
  return Buffer.concat([header, question, ...records])
}

function bytesOf(address: string): Buffer {
  if (isIPv4(address)) return Buffer.from(address.split('.').map(Number))
  const [head = '', tail] = address.split('::')
  const words = (text: string) => (text === '' ? [] : text.split(':'))
  const [front, back] = [words(head), words(tail ?? '')]
  const zeros = Array<string>(8 - front.length - back.length).fill('0')
  const all = [...front, ...(tail === undefined ? [] : zeros), ...back]
  return Buffer.from(all.map((word) => word.padStart(4, '0')).join(''), 'hex')
}
