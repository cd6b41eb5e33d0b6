import { isIPv6 } from 'node:net'

/** The bucket of an address: IPv4 as it is, IPv6 by /64, since a host owns a whole one. */
export function hostBucket(ip: string): string {
  const address = canonicalAddress(ip)
  return isIPv6(address) ? prefixOf(address, 4) : address
}

/** The wider bucket: /24 of IPv4, /48 of IPv6. */
export function networkBucket(ip: string): string {
  const address = canonicalAddress(ip)
  return isIPv6(address) ? prefixOf(address, 3) : address.split('.').slice(0, 3).join('.')
}

const MAPPED = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/i

/** IPv4 written as IPv6 is IPv4, as a socket on `::` reports it. */
export const canonicalAddress = (ip: string): string => MAPPED.exec(ip)?.[1] ?? ip

function prefixOf(ip: string, groups: number): string {
  const [address = ''] = ip.split('%')
  const [head = '', tail] = address.split('::')
  const front = head === '' ? [] : head.split(':')
  const back = tail === undefined || tail === '' ? [] : tail.split(':')
  const zeros = tail === undefined ? 0 : Math.max(0, 8 - front.length - back.length)
  const all = [...front, ...Array<string>(zeros).fill('0'), ...back]
  return `${all
    .slice(0, groups)
    .map((group) => group.toLowerCase().replace(/^0+(?=.)/, ''))
    .join(':')}::`
}
