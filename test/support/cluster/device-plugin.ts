import { access, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import {
  Client,
  Server,
  ServerCredentials,
  type ServerUnaryCall,
  type ServerWritableStream,
  credentials,
  type sendUnaryData,
} from '@grpc/grpc-js'
import { type MethodDefinition, fromJSON } from '@grpc/proto-loader'

interface DevicePluginOptions {
  /** The node's folder for plugins' sockets, as seen from here. */
  folder: string
  /** "nvidia.com/gpu" */
  resource: string
  devices: readonly string[]
  /** What a container that gets devices is told about them. */
  environmentOf(devices: readonly string[]): Record<string, string>
}

/** Pretended devices that a node offers: the kubelet counts and hands them out as it does real ones. */
export interface DevicePlugin {
  /** Offers the devices to a kubelet that has just been started; it has thrown away what an earlier one knew. */
  offer(): Promise<void>
  /** A failed device stays in the node's capacity and is handed out no more. */
  setHealth(device: string, healthy: boolean): void
  stop(): Promise<void>
}

const version = 'v1beta1'
const socketName = 'temper-test.sock'
const kubeletMilliseconds = 120_000
const askMilliseconds = 10_000

const field = (type: string, id: number) => ({ type, id })
const list = (type: string, id: number) => ({ rule: 'repeated', type, id })

/** The parts of the kubelet's device plugin interface (k8s.io/kubelet/pkg/apis/deviceplugin/v1beta1) that a plugin needs. */
const definition = {
  nested: {
    [version]: {
      nested: {
        Empty: { fields: {} },
        RegisterRequest: {
          fields: {
            version: field('string', 1),
            endpoint: field('string', 2),
            resource_name: field('string', 3),
          },
        },
        DeviceList: { fields: { devices: list('Device', 1) } },
        Device: { fields: { id: field('string', 1), health: field('string', 2) } },
        AllocateRequest: { fields: { container_requests: list('ContainerRequest', 1) } },
        ContainerRequest: { fields: { device_ids: list('string', 1) } },
        AllocateResponse: { fields: { container_responses: list('ContainerResponse', 1) } },
        ContainerResponse: { fields: { envs: { keyType: 'string', ...field('string', 1) } } },
        Registration: { methods: { Register: { requestType: 'RegisterRequest', responseType: 'Empty' } } },
        DevicePlugin: {
          methods: {
            GetDevicePluginOptions: { requestType: 'Empty', responseType: 'Empty' },
            ListAndWatch: { requestType: 'Empty', responseType: 'DeviceList', responseStream: true },
            Allocate: { requestType: 'AllocateRequest', responseType: 'AllocateResponse' },
          },
        },
      },
    },
  },
}

// Its typings want a comment on every method and know no map fields in descriptions written as plain objects.
const protocol = fromJSON(definition as unknown as Parameters<typeof fromJSON>[0], { keepCase: true })

interface AllocateRequest {
  container_requests: { device_ids: string[] }[]
}

export function createDevicePlugin(options: DevicePluginOptions): DevicePlugin {
  const kubeletSocket = join(options.folder, 'kubelet.sock')
  const failed = new Set<string>()
  const watchers = new Set<ServerWritableStream<object, object>>()
  let server: Server | undefined
  const devices = () => ({
    devices: options.devices.map((id) => ({ id, health: failed.has(id) ? 'Unhealthy' : 'Healthy' })),
  })
  const stop = async () => {
    server?.forceShutdown()
    watchers.clear()
    await rm(join(options.folder, socketName), { force: true })
  }
  const serve = async () => {
    server = new Server()
    server.addService(serviceOf('DevicePlugin'), {
      GetDevicePluginOptions: (_call: object, reply: sendUnaryData<object>) => reply(null, {}),
      ListAndWatch: (call: ServerWritableStream<object, object>) => {
        watchers.add(call)
        call.once('cancelled', () => watchers.delete(call))
        call.write(devices())
      },
      Allocate: (call: ServerUnaryCall<AllocateRequest, object>, reply: sendUnaryData<object>) => {
        const containers = call.request.container_requests
        reply(null, {
          container_responses: containers.map(({ device_ids: ids }) => ({
            envs: options.environmentOf(ids),
          })),
        })
      },
    })
    const { promise, resolve, reject } = Promise.withResolvers<void>()
    server.bindAsync(
      `unix:${join(options.folder, socketName)}`,
      ServerCredentials.createInsecure(),
      (error) => (error ? reject(error) : resolve()),
    )
    await promise
  }
  const untilWatched = async () => {
    const pollMilliseconds = 50
    for (let waited = 0; watchers.size === 0; waited += pollMilliseconds) {
      if (waited >= askMilliseconds)
        throw new Error('the kubelet does not ask the device plugin for its devices')
      await sleep(pollMilliseconds)
    }
  }
  return {
    stop,
    offer: async () => {
      const pollMilliseconds = 200
      for (let waited = 0; ; waited += pollMilliseconds) {
        // A kubelet empties the folder when it starts, the plugin's socket included: it is made anew each time.
        await stop()
        try {
          await access(kubeletSocket)
          await serve()
          await register(kubeletSocket, options.resource)
          // It may have emptied the folder after the plugin began to listen: then it never asks for the devices.
          await untilWatched()
          return
        } catch (error) {
          if (waited >= kubeletMilliseconds) throw error
          await sleep(pollMilliseconds)
        }
      }
    },
    setHealth: (device, healthy) => {
      if (healthy) failed.delete(device)
      else failed.add(device)
      for (const watcher of watchers) watcher.write(devices())
    },
  }
}

async function register(socket: string, resource: string): Promise<void> {
  const client = new Client(`unix:${socket}`, credentials.createInsecure())
  try {
    const { promise, resolve, reject } = Promise.withResolvers<void>()
    const { path, requestSerialize, responseDeserialize } = methodOf('Registration', 'Register')
    const request = { version, endpoint: socketName, resource_name: resource }
    client.makeUnaryRequest(path, requestSerialize, responseDeserialize, request, (error) =>
      error ? reject(error) : resolve(),
    )
    await promise
  } finally {
    client.close()
  }
}

function serviceOf(name: string): Record<string, MethodDefinition<object, object>> {
  return protocol[`${version}.${name}`] as Record<string, MethodDefinition<object, object>>
}

function methodOf(service: string, name: string): MethodDefinition<object, object> {
  const method = serviceOf(service)[name]
  if (method === undefined) throw new Error(`${service} has no ${name}`)
  return method
}
