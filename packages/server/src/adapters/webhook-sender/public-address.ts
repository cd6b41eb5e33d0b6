import { BlockList, isIPv4, isIPv6 } from 'node:net'

/** Everything of the special-purpose registry of IANA that is not for the whole internet. */
const NOT_PUBLIC_V4: readonly (readonly [string, number])[] = [
  ['0.0.0.0', 8],
  ['10.0.0.0', 8],
  ['100.64.0.0', 10],
  ['127.0.0.0', 8],
  ['169.254.0.0', 16],
  ['172.16.0.0', 12],
  ['192.0.0.0', 24],
  ['192.0.2.0', 24],
  ['192.31.196.0', 24],
  ['192.52.193.0', 24],
  ['192.88.99.0', 24],
  ['192.168.0.0', 16],
  ['192.175.48.0', 24],
  ['198.18.0.0', 15],
  ['198.51.100.0', 24],
  ['203.0.113.0', 24],
  ['224.0.0.0', 4],
  ['240.0.0.0', 4],
]
/** Inside of global unicast: protocols, Teredo, ORCHID; documentation; 6to4; documentation. */
const NOT_PUBLIC_V6: readonly (readonly [string, number])[] = [
  ['2001::', 23],
  ['2001:db8::', 32],
  ['2002::', 16],
  ['3fff::', 20],
]

const listOf = (subnets: readonly (readonly [string, number])[], family: 'ipv4' | 'ipv6') => {
  const list = new BlockList()
  for (const [network, prefix] of subnets) list.addSubnet(network, prefix, family)
  return list
}

const deniedV4 = listOf(NOT_PUBLIC_V4, 'ipv4')
const deniedV6 = listOf(NOT_PUBLIC_V6, 'ipv6')
// NOTE: an allow-list, since IPv4 hides in many places of the rest of IPv6.
const globalUnicastV6 = listOf([['2000::', 3]], 'ipv6')

/** Whether an address is one of the public internet's: global unicast, and nobody's private use. */
export function isPublicAddress(address: string): boolean {
  if (isIPv4(address)) return !deniedV4.check(address, 'ipv4')
  if (!isIPv6(address) || address.includes('%')) return false
  return globalUnicastV6.check(address, 'ipv6') && !deniedV6.check(address, 'ipv6')
}
