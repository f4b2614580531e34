-- Positions are dense: as many events were read as the last position says.
select projection, position, events
  from {{ source('touchledger', 'freshness') }}
 where events <> position
