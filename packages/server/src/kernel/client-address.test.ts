import { expect, test } from 'vitest'
import { canonicalAddress, hostBucket, networkBucket } from './client-address.ts'

test.each([
  ['192.0.2.1', '192.0.2.1', '192.0.2'],
  ['::ffff:192.0.2.1', '192.0.2.1', '192.0.2'],
  ['::FFFF:192.0.2.1', '192.0.2.1', '192.0.2'],
  ['2001:db8:1:2:3:4:5:6', '2001:db8:1:2::', '2001:db8:1::'],
  ['2001:db8:1:2::', '2001:db8:1:2::', '2001:db8:1::'],
  ['2001:DB8:0001:0002::9', '2001:db8:1:2::', '2001:db8:1::'],
  ['2001:db8::1', '2001:db8:0:0::', '2001:db8:0::'],
  ['::1', '0:0:0:0::', '0:0:0::'],
  ['fe80::1%eth0', 'fe80:0:0:0::', 'fe80:0:0::'],
  ['1:2:3:4:5:6:7::', '1:2:3:4::', '1:2:3::'],
  ['::2:3:4:5:6:7:8', '0:2:3:4::', '0:2:3::'],
])('%s counts as the host %s in the network %s', (ip, host, network) => {
  expect([hostBucket(ip), networkBucket(ip)]).toEqual([host, network])
})

test('every address of a /64 is one host, of a /48 one network', () => {
  const hosts = Array.from({ length: 1000 }, (_, n) => `2001:db8:1:2:${n.toString(16)}::${n}`)
  expect(new Set(hosts.map(hostBucket)).size).toBe(1)
  const networks = Array.from({ length: 1000 }, (_, n) => `2001:db8:1:${n.toString(16)}::1`)
  expect(new Set(networks.map(networkBucket)).size).toBe(1)
  expect(new Set(networks.map(hostBucket)).size).toBe(1000)
})

test('what is no IPv4 written as IPv6 stays as it is', () => {
  for (const ip of ['192.0.2.1', '::1', '64:ff9b::192.0.2.1', '::ffff:1:192.0.2.1'])
    expect(canonicalAddress(ip)).toBe(ip)
})
