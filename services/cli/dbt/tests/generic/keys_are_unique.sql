{% test keys_are_unique(model, columns) %}
select {{ columns | join(', ') }}, count(*) as rows_of_it
  from {{ model }}
 group by {{ columns | join(', ') }}
having count(*) > 1
{% endtest %}
