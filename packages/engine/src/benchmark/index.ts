export {
  type DeviceMeasurement,
  type DeviceMeasurementOptions,
  measureDevice,
} from './measure-device.ts'
