-- One row for each measured answer as it is known now, with what is known of the customer.
select f.event_position,
       f.signal_index,
       f.occurred_at,
       f.reporting_date,
       f.touchpoint,
       f.store,
       coalesce(c.generation, 'unspecified') as generation,
       f.metric,
       f.value,
       f.scale_min,
       f.scale_max,
       f.higher_is_better
  from {{ source('touchledger', 'fact_feedback') }} as f
  left join {{ source('touchledger', 'dim_customer') }} as c
         on c.tenant = f.tenant and c.customer = f.customer
 where f.to_position is null and f.metric is not null
