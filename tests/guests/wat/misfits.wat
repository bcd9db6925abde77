;; Exports `lifecycle` with a function of another type than the contract's.
(component
  (core module $code
    (memory (export "memory") 1)
    (func (export "describe") (result i32) (i32.const 0)))
  (core instance $code (instantiate $code))
  (func $describe (result string)
    (canon lift (core func $code "describe") (memory $code "memory")))
  (instance $lifecycle (export "describe" (func $describe)))
  (export "pointsman:skill/lifecycle@0.1.0" (instance $lifecycle)))
